"""The networks, their heads and calibration, and the baselines they are measured against."""

import os

# TensorFlow reads it on import, whichever module here imports it first.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

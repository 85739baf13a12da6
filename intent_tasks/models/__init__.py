"""The networks, their heads and calibration, and the baselines they are measured against."""

import os

# TensorFlow reads it when it loads, whichever of the modules here loads it first.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

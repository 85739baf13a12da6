"""The networks, their heads and calibration, and the baselines they are measured against."""

"""A simulated shop whose true answers are known."""

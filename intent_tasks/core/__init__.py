"""Pure functions on arrays and frames: no clock, no environment, no disk, no network."""

"""Which shop day a run is about."""

"""What tests and benchmarks share: shops, servers, a reference network. It imports no pytest."""

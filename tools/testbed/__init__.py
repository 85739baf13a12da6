"""Code that tests and benchmarks share: shops, servers, a reference network. No pytest here."""

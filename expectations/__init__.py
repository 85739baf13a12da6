"""Great Expectations suites, one module a table."""

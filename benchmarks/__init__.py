"""Benchmarks: one file a measured claim; its docstring has the claim and the command."""

"""Logs on their way into the shop's tables."""

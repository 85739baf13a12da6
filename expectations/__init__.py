"""The contract: the rules of each suite, their measurement in SQL, and their bounds.

`stores/contracts` runs the checks.
"""

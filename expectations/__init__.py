"""What is checked: the rules of each suite, how SQL measures them, and the bounds they must keep.

`stores/contracts` carries it out.
"""

"""How it is checked: measure a profile, compare it with its bounds, record it, refuse the day.

`expectations` holds the rules; steps call `checks` only.
"""

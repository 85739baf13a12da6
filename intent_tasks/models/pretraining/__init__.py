"""Pretraining of the event embedding and the encoder on the next event of all customers.

`train` learns, with the `heads` and their `losses`; `weights` saves and loads the result.
"""

"""Encoders: one file each, all with one signature, chosen by name.

`encode(steps, mask, width, depth)` turns the steps of a past, shape (n, S, width), oldest first and
the newest last, into one vector each, shape (n, width). `mask`, bool of shape (n, S), tells steps
from the padding before the first. `parameter_count(width, depth)` says what that costs.
"""

from intent_tasks.models.encoders import cnn, gru, mlp, transformer

ENCODERS = {"mlp": mlp, "cnn": cnn, "gru": gru, "transformer": transformer}
"""By the value of INTENT_MODEL_ENCODER."""

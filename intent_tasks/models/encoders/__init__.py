"""Encoders: one file each, all with one signature, chosen by name.

`encode(steps, mask, width, depth)` encodes the steps of each row, shape (n, S, width), newest last,
to one vector, shape (n, width). `mask`, bool of shape (n, S), is False for the padding before the
first step. `parameter_count(width, depth)` returns the number of parameters.
"""

from intent_tasks.models.encoders import cnn, gru, mlp, transformer

ENCODERS = {"mlp": mlp, "cnn": cnn, "gru": gru, "transformer": transformer}
"""By the value of INTENT_MODEL_ENCODER."""

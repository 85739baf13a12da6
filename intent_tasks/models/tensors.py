"""The type of tensors, named in one place.

Keras and TensorFlow have no common type for symbolic tensors, eager tensors and variables.
"""

from typing import Any

Tensor = Any
"""A tensor; the docstring of each function gives its shape."""
Inputs = Any
"""A dictionary of tensors, keyed as `network.INPUTS`."""
LayerOption = Any
"""A keyword argument of any Keras layer, such as its name."""

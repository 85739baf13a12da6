"""Dense layers on the mean of all steps and the newest step; ignores the order of steps."""

from keras import layers

from intent_tasks.models.tensors import Tensor


def encode(steps: Tensor, mask: Tensor, width: int, depth: int) -> Tensor:
    """Return one vector for each row, shape (n, width)."""
    mean = layers.GlobalAveragePooling1D(name="pooled")(steps, mask=mask)
    state = layers.Concatenate()([mean, steps[:, -1]])
    for n in range(depth):
        state = layers.Dense(width, activation="gelu", name=f"mlp_{n}")(state)
    return state


def parameter_count(width: int, depth: int) -> int:
    """Return the number of parameters; the first layer reads two vectors, the others one."""
    return (depth + 1) * width * width + depth * width

"""The checkpoint of training: weights, moments of the optimizer, and progress."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.errors import BadInput
from intent_tasks.models import arrays

FILE = "checkpoint.npz"


class Checkpoint(NamedTuple):
    """What `load` returns: the best weights so far, and the progress of training."""

    best: list[npt.NDArray[Any]]
    progress: dict[str, Any]


def save(
    folder: Path, variables: list[Any], best: list[npt.NDArray[Any]], progress: dict[str, Any]
) -> None:
    """Write a checkpoint; the rename is atomic, so a kill leaves the previous one."""
    values = {f"v{n:04d}": np.asarray(variable.value) for n, variable in enumerate(variables)}
    values["progress"] = np.array(json.dumps(progress))
    values |= {f"b{n:04d}": each for n, each in enumerate(best)}
    temporary = folder / f".{FILE}"
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **values)
    temporary.replace(folder / FILE)


def load(folder: Path, variables: list[Any]) -> Checkpoint | None:
    """Assign the values of the checkpoint to the variables, and return the rest.

    Returns:
        None if there is no checkpoint.

    Raises:
        BadInput: the checkpoint belongs to another architecture, or is broken.
    """
    if not (folder / FILE).exists():
        return None
    try:
        content = arrays.read(FILE, (folder / FILE).read_bytes())
        progress = json.loads(str(content.pop("progress")))
    except (BadInput, KeyError, ValueError) as error:
        raise BadInput(
            f"The checkpoint in {folder} cannot be read: {error} Delete that folder to start again."
        ) from None
    values, best = (
        [array for name, array in content.items() if name.startswith(letter)] for letter in "vb"
    )
    if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
        raise BadInput(
            f"The checkpoint in {folder} belongs to another architecture. Set the encoder and the "
            "size with which training started, or delete that folder to start again."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return Checkpoint(best, progress)

"""What training needs to go on after a kill: weights, moments of the optimizer, and its place."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.errors import BadInput
from intent_tasks.models import arrays

FILE = "checkpoint.npz"


class Checkpoint(NamedTuple):
    """What is read back: the weights that were best, and where training was."""

    best: list[npt.NDArray[Any]]
    progress: dict[str, Any]


def save(
    folder: Path, variables: list[Any], best: list[npt.NDArray[Any]], progress: dict[str, Any]
) -> None:
    """Write a checkpoint in one rename, so that a kill leaves the one before."""
    values = {f"v{n:04d}": np.asarray(variable.value) for n, variable in enumerate(variables)}
    values["progress"] = np.array(json.dumps(progress))
    values |= {f"b{n:04d}": each for n, each in enumerate(best)}
    temporary = folder / f".{FILE}"
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **values)
    temporary.replace(folder / FILE)


def load(folder: Path, variables: list[Any]) -> Checkpoint | None:
    """Give the variables the values of the checkpoint, and return the rest; None: there is none.

    Raises:
        BadInput: it is of a network that is built in another way, or broken.
    """
    if not (folder / FILE).exists():
        return None
    try:
        kept = arrays.read(FILE, (folder / FILE).read_bytes())
        progress = json.loads(str(kept.pop("progress")))
    except (BadInput, KeyError, ValueError) as error:
        raise BadInput(
            f"The checkpoint in {folder} cannot be read: {error} Delete that folder to begin anew."
        ) from None
    values, best = (
        [array for name, array in kept.items() if name.startswith(letter)] for letter in "vb"
    )
    if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
        raise BadInput(
            f"The checkpoint in {folder} is of a network of another architecture. Set the encoder "
            "and the size it was begun with, or delete that folder to begin anew."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return Checkpoint(best, progress)

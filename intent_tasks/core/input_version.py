"""Version of the inputs of a model: event codes, numeric inputs and features.

A model cannot predict from inputs of another version. So its files name their version, and a model
of another version is refused.
"""

import hashlib
import json

from intent_tasks.core.encoding import NUMERIC, STEP
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import CODE_COLUMNS
from intent_tasks.definition import EVENT_TYPES, HORIZONS_DAYS

REVISION = 1
"""Raise it if an input has other values under the same name; `tests/unit/test_input_version.py`
pins the values."""


def _version() -> str:
    names = [FEATURES, EVENT_TYPES, CODE_COLUMNS, NUMERIC, STEP, HORIZONS_DAYS]
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    return f"{REVISION}-{digest[:12]}"


INPUT_VERSION = _version()
"""The revision, and a digest of the names and the order of all inputs."""

"""Version of what a model reads: event codes, numeric inputs and features.

A model computes nonsense from inputs of another version, so its files name the version and a model
of another version is refused.
"""

import hashlib
import json

from intent_tasks.core.encoding import NUMERIC, STEP
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import CODE_COLUMNS
from intent_tasks.definition import EVENT_TYPES, HORIZONS_DAYS

REVISION = 1
"""Raise it if a feature or an input changes its values and keeps its name."""


def _version() -> str:
    names = [FEATURES, EVENT_TYPES, CODE_COLUMNS, NUMERIC, STEP, HORIZONS_DAYS]
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    return f"{REVISION}-{digest[:12]}"


INPUT_VERSION = _version()
"""The revision, and a digest of the names and the order of all inputs."""

"""The files of a training run: their folders, names and checksums.

| File | Written by | Content |
|---|---|---|
| `training/DAY/model/` | `train` | the files of the model |
| `training/DAY/test.parquet` | `train` | labels and predictions of the test split |
| `training/DAY/losses.json` | `train` | losses of the network |
| `training/DAY/metrics.json`, `evidence.html` | `evaluate` | metrics; the evidence of the gate |
| `pretraining/DAY-SNAPSHOTS/` | `pretrain` | pretrained weights |
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from intent_tasks.settings import Settings

MODEL, TEST, LOSSES, CHECKPOINT = "model", "test.parquet", "losses.json", "checkpoint"
METRICS_FILE, EVIDENCE = "metrics.json", "evidence.html"
SLICE = "slice_"
"""Prefix of the columns of `TEST` with the cohort of each row."""


def folder_of(settings: Settings, as_of_date: date) -> Path:
    """Return the folder of a training run."""
    return settings.home / "training" / str(as_of_date)


def pretrained_folder(settings: Settings, window: dict[str, Any]) -> Path:
    """Return the folder of the weights that were pretrained on the snapshots of a window."""
    name = f"{window['as_of_date']}-{window['snapshot_digest'][:12]}"
    return settings.home / "pretraining" / name


def digest_of(folder: Path) -> str:
    """Return one checksum of all files that `train` writes."""
    return digest_of_files([*(folder / MODEL).iterdir(), folder / TEST])


def digest_of_files(paths: Iterable[Path]) -> str:
    """Return one checksum of the names and contents of files."""
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()

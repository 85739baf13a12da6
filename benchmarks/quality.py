"""How right the newest trained version is on days it has not seen, and the baselines beside it.

Run: .venv/bin/python benchmarks/quality.py [STATE_FOLDER]      after `make demo`; seconds

It prints what the step `evaluate` measured: on the test days of the training run, which lie a gap
of the longest horizon after the days that were learned, for the 7 days after each anchor. Intervals
are 95 %, by a bootstrap over customers.
"""

import json
import sys
from pathlib import Path

METRICS = ("auc", "average_precision", "log_loss", "calibration_error", "f1")
MODELS = ("served", "network", "lightgbm", "logistic", "recency_frequency", "base_rate")


def main() -> int:
    home = Path(sys.argv[1] if len(sys.argv) > 1 else ".intent")
    found = sorted(home.glob("training/*/metrics.json"))
    if not found:
        print(f"Nothing is trained in {home}: run `make demo` first.", file=sys.stderr)
        return 1
    measured = json.loads(found[-1].read_text())
    print(f"Trained as of {found[-1].parent.name}\n")
    print("| model | " + " | ".join(name.replace("_", " ") for name in METRICS) + " |")
    print("|---" * (len(METRICS) + 1) + "|")
    for model in MODELS:
        row = measured[f"{model}_7d"]
        print(f"| {model} | " + " | ".join(_shown(row[name]) for name in METRICS) + " |")
    loss = {model: measured[f"{model}_7d"]["log_loss"]["value"] for model in MODELS}
    gains = {model: loss["base_rate"] - loss[model] for model in MODELS}
    for model in ("served", "network"):
        share = gains[model] / gains["lightgbm"]
        print(f"\nGain over the base rate, of LightGBM's, {model}: {share:.2f}")
    return 0


def _shown(estimate: dict[str, float]) -> str:
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    return f"{value:.3f}" if low == high else f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())

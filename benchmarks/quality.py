"""Quality of the newest trained version on its test days, compared with the baselines.

Command: `python -m benchmarks.quality [STATE_FOLDER]`, after `make demo` (seconds)

It prints the metrics of the step `evaluate`: for the 7 days after each anchor, on the test days,
which follow the training days after a gap of the longest horizon. Intervals are 95 %, by bootstrap
over customers.
"""

import json
import sys
from pathlib import Path

from benchmarks.support.arguments import arguments_of

METRICS = ("auc", "average_precision", "log_loss", "calibration_error", "f1")
MODELS = ("served", "network", "lightgbm", "logistic", "recency_frequency", "base_rate")


def main() -> int:
    """Print the table; fail when no version is trained."""
    parser = arguments_of(__doc__)
    parser.add_argument("home", type=Path, nargs="?", default=".intent", help="state folder")
    home = parser.parse_args().home
    files = sorted(home.glob("training/*/metrics.json"))
    if not files:
        print(f"No version is trained in {home}. Run `make demo` first.", file=sys.stderr)
        return 1
    metrics = json.loads(files[-1].read_text())
    print(f"Trained as of {files[-1].parent.name}\n")
    print("| model | " + " | ".join(name.replace("_", " ") for name in METRICS) + " |")
    print("|---" * (len(METRICS) + 1) + "|")
    for model in MODELS:
        row = metrics[f"{model}_7d"]
        print(f"| {model} | " + " | ".join(_format(row[name]) for name in METRICS) + " |")
    loss = {model: metrics[f"{model}_7d"]["log_loss"]["value"] for model in MODELS}
    gains = {model: loss["base_rate"] - loss[model] for model in MODELS}
    for model in ("served", "network"):
        share = gains[model] / gains["lightgbm"]
        print(f"\nGain over the base rate, of LightGBM's, {model}: {share:.2f}")
    return 0


def _format(estimate: dict[str, float]) -> str:
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    return f"{value:.3f}" if low == high else f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())

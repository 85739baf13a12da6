"""Seconds to parse each DAG file, and the slow packages that it imports.

Claim: under 1 s a file, without TensorFlow, MLflow or Great Expectations.
Command: `python -m benchmarks.dag_parsing`
"""

import sys

from benchmarks.support.arguments import arguments_of
from tools.testbed.dag_parsing import MAX_SECONDS, parse_dags


def main() -> None:
    """Print the seconds; fail when the claim does not hold."""
    arguments_of(__doc__).parse_args()
    parsed = parse_dags()
    for name, seconds in sorted(parsed["seconds"].items()):
        print(f"{name:20} {seconds:6.3f} s   (allowed: {MAX_SECONDS} s)")
    print("forbidden imports:", ", ".join(parsed["imported"]) or "none")
    sys.exit(bool(parsed["imported"]) or max(parsed["seconds"].values()) >= MAX_SECONDS)


if __name__ == "__main__":
    main()

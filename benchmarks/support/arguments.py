"""The command line of a benchmark."""

import argparse


def arguments_of(docstring: str | None) -> argparse.ArgumentParser:
    """Return a parser whose `--help` shows the docstring of the benchmark."""
    return argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )

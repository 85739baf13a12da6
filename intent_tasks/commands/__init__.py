"""Groups of commands of `intent`: one module and one Typer app each, put together by `cli.py`."""

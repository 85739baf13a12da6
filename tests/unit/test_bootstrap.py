import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location(
    "bootstrap", Path(__file__).parents[2] / "bootstrap.py"
)
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)

PLENTY = 10**12


def test_an_old_python_is_named_with_what_to_do():
    message = bootstrap.problem((3, 10, 4), PLENTY)
    assert message.startswith("This is Python 3.10;")
    assert "make PYTHON=python3.12 demo" in message


def test_a_python_the_locks_do_not_cover_is_refused_too():
    assert "3.14" in bootstrap.problem((3, 14, 0), PLENTY)


def test_a_full_disk_is_reported_before_anything_is_installed():
    assert bootstrap.problem((3, 11, 7), 10**9).startswith("1.0 GB are free here")


def test_nothing_is_reported_where_all_is_well():
    assert bootstrap.problem((3, 13, 0), PLENTY) is None

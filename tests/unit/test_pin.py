"""A copy of a version is kept whole, whoever comes first."""

from intent_tasks.steps.pin import _move


def _copy(folder, content):
    folder.mkdir()
    (folder / "weights.npz").write_text(content)
    return folder


def test_the_first_copy_stays_when_two_days_are_pinned_at_once(tmp_path):
    target = tmp_path / "models" / "1"
    target.parent.mkdir()
    _move(_copy(tmp_path / "a", "same"), target)
    _move(_copy(tmp_path / "b", "same"), target)
    assert [path.name for path in target.iterdir()] == ["weights.npz"], "nothing was put inside"

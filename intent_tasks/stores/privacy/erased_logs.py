"""Remove customers from logs. Our programs write none there, but other programs may."""

import re
from collections import Counter
from pathlib import Path

from intent_tasks.settings import Settings
from intent_tasks.stores.privacy import personal_data
from intent_tasks.stores.privacy.erased_rows import People, Removed

LEAST_DIGITS = 6
"""A shorter number may be a count, not an id."""


def clear_logs(settings: Settings, people: People) -> Removed:
    """Overwrite ids and keys with asterisks in place, because a server may have the log open."""
    names = {n: key for key, customer_id in people.items() for n in (key, customer_id)}
    names = {n: key for n, key in names.items() if not (n.isdigit() and len(n) < LEAST_DIGITS)}
    removed: Removed = Counter()
    if not names:
        return removed
    pattern = _pattern(names)
    for path in _logs(settings.home):
        removed.update(("logs", names[name]) for name in _overwrite(path, pattern))
    return removed


def _logs(home: Path) -> list[Path]:
    places = [home / name for name in personal_data.LOGS]
    paths = {path for place in places for path in (place, *place.rglob("*"))}
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def _pattern(names: dict[str, str]) -> re.Pattern[bytes]:
    longest_first = sorted(names, key=len, reverse=True)
    any_of = b"|".join(re.escape(name.encode()) for name in longest_first)
    return re.compile(rb"(?<![\w.@+-])(?:" + any_of + rb")(?![\w@+-])")


def _overwrite(path: Path, pattern: re.Pattern[bytes]) -> list[str]:
    matches = list(pattern.finditer(path.read_bytes()))
    if matches:
        with path.open("r+b") as file:
            for match in matches:
                file.seek(match.start())
                file.write(b"*" * len(match[0]))
    return [match[0].decode() for match in matches]

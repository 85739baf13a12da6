"""Remove customers from logs, which hold none unless a program of others wrote one there."""

import re
from collections import Counter
from pathlib import Path

from intent_tasks.settings import Settings
from intent_tasks.stores.privacy import personal_data
from intent_tasks.stores.privacy.erased_rows import People, Removed

LEAST_DIGITS = 6
"""An id of fewer digits cannot be told from a count."""


def clear_logs(settings: Settings, people: People) -> Removed:
    """Write asterisks over ids and keys, where they stand: a server may have the log open."""
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
    found = (path for folder in personal_data.LOGS for path in (home / folder).rglob("*"))
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _pattern(names: dict[str, str]) -> re.Pattern[bytes]:
    longest_first = sorted(names, key=len, reverse=True)
    any_of = b"|".join(re.escape(name.encode()) for name in longest_first)
    return re.compile(rb"(?<![\w.@+-])(?:" + any_of + rb")(?![\w@+-])")


def _overwrite(path: Path, pattern: re.Pattern[bytes]) -> list[str]:
    found = list(pattern.finditer(path.read_bytes()))
    if found:
        with path.open("r+b") as file:
            for match in found:
                file.seek(match.start())
                file.write(b"*" * len(match[0]))
    return [match[0].decode() for match in found]

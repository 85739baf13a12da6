"""Write `.env` from `.env.example`, with a fresh random secret for each name without a value.

Needs nothing but Python: `python3 docker/generate_env.py`.
"""

import base64
import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def secret(name: str) -> str:
    """Return a secret that may stand in a URL; Fernet wants exactly 32 bytes."""
    if name.endswith("FERNET_KEY"):
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(32)


def filled(example: str) -> str:
    """Return the text of the example with a secret after each `NAME=`."""
    lines = example.splitlines()
    is_name = [line.endswith("=") and not line.startswith("#") for line in lines]
    return "".join(
        f"{line}{secret(line[:-1]) if named else ''}\n"
        for line, named in zip(lines, is_name, strict=True)
    )


def main(folder: Path = ROOT) -> None:
    """Write the file, unless there is one: its secrets are in force."""
    try:
        descriptor = os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(f"{folder / '.env'} is there already, and its secrets are in force: kept as it is")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(filled((folder / ".env.example").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()

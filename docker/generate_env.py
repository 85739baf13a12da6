"""Write `.env` from `.env.example`, with a new random secret for each name without a value.

It needs only Python: `python3 docker/generate_env.py`.
"""

import base64
import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def secret(name: str) -> str:
    """Return a secret that is safe in a URL; a Fernet key has exactly 32 bytes."""
    if name.endswith("FERNET_KEY"):
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(32)


def fill_in(example: str) -> str:
    """Return the text of the example with a secret after each `NAME=`."""
    lines = example.splitlines()
    is_name = [line.endswith("=") and not line.startswith("#") for line in lines]
    return "".join(
        f"{line}{secret(line[:-1]) if named else ''}\n"
        for line, named in zip(lines, is_name, strict=True)
    )


def main(folder: Path = ROOT) -> None:
    """Write the file, unless it exists, because its secrets are in use then."""
    try:
        descriptor = os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(f"{folder / '.env'} exists and its secrets are in use. It was not changed.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(fill_in((folder / ".env.example").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()

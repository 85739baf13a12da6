"""Say what is missing before anything is installed. Runs on any Python, so it uses old syntax."""

import os
import sys

OLDEST, TOO_NEW = (3, 11), (3, 14)
NEEDED_BYTES = 3 * 10**9


def problem(version, free_bytes):
    """Return what keeps this machine from running the project, or None."""
    if not OLDEST <= tuple(version[:2]) < TOO_NEW:
        return (
            "This is Python %d.%d; 3.11, 3.12 or 3.13 is needed. Install one and name it: "
            "make PYTHON=python3.12 demo" % tuple(version[:2])
        )
    if free_bytes < NEEDED_BYTES:
        return "%.1f GB are free here; the locked packages need %.1f GB. Free some first." % (
            free_bytes / 1e9,
            NEEDED_BYTES / 1e9,
        )
    return None


if __name__ == "__main__":
    disk = os.statvfs(".")
    sys.exit(problem(sys.version_info, disk.f_bavail * disk.f_frsize))

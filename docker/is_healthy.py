"""Exit with 0 when an address answers with success; the images have no curl."""

import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:  # noqa: S310 - our own address
    sys.exit(answer.status >= 400)

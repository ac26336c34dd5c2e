#!/usr/bin/env python3
"""Exit 0 when the service in this container answers /healthz, 1 when it does not.

Independent of the service's package, so that it also tells when that is broken.
"""

from __future__ import annotations

import http.client
import os
import sys

PORT = int(os.environ.get("TENANTRY_PORT", "3100"))
TIMEOUT = 4  # seconds


def main() -> int:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"/healthz does not answer: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if status != http.client.OK:
        print(f"/healthz answers {status}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

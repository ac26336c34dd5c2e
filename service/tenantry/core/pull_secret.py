"""The Secret that a tenant's private images are pulled with (R28).

It is the cell's credentials for the registry, the same for every tenant, sealed for each one's
namespace. Kubernetes knows such a Secret by its type and its one key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

KEY = ".dockerconfigjson"
TYPE = "kubernetes.io/dockerconfigjson"


def check_credentials(text: str) -> list[str]:
    """The registries that a Docker configuration holds credentials for; ValueError where it is none
    or lacks some. What it holds is never part of a message.
    """
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError("is not JSON") from None
    registries = found.get("auths") if isinstance(found, Mapping) else None
    if not isinstance(registries, Mapping) or not registries:
        raise ValueError("has no `auths`")
    for registry, entry in registries.items():
        if not _holds_credentials(entry):
            raise ValueError(f"holds no credentials for {registry}; a helper program may have them")
    return list(registries)


def _holds_credentials(entry: Any) -> bool:
    if not isinstance(entry, Mapping):
        return False
    return bool(entry.get("auth") or (entry.get("username") and entry.get("password")))

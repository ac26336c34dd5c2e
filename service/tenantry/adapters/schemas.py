"""Kubernetes' own schemas, from the optional package `kubernetes-validate`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

MISSING = "the Python package kubernetes-validate is not installed"


@dataclass(frozen=True)
class Schemas:
    """Schemas of one Kubernetes version."""

    module: ModuleType
    version: str

    def find_problem(self, body: Mapping[str, Any]) -> str | None:
        """What is wrong with an object; None: nothing, or no schema (custom resources)."""
        try:
            self.module.validate(body, self.version, strict=True)
        except self.module.SchemaNotFoundError:
            return None
        except self.module.ValidationError as error:
            place = ".".join(map(str, error.path))
            return f"{place or 'the object'}: {error.message}"
        return None


def load_schemas() -> Schemas | None:
    """The newest schemas that are installed; None without the package."""
    try:
        module = importlib.import_module("kubernetes_validate")
    except ImportError:
        return None
    return Schemas(module, module.latest_version())

"""Which Applications a LIST or stream asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from werkzeug.datastructures import MultiDict

from tenantry.devcluster.answers import INVALID_ARGUMENT, ApiError
from tenantry.devcluster.registry import Document


def asked_for(arguments: MultiDict[str, str]) -> Callable[[Document], bool]:
    """What `projects`, `project`, `name` and `selector` ask for."""
    projects = {*arguments.getlist("projects"), *arguments.getlist("project")} - {""}
    name = arguments.get("name", "")
    selector = _selector(arguments.get("selector", ""))

    def matches(document: Document) -> bool:
        metadata = document["metadata"]
        labels: Mapping[str, str] = metadata.get("labels", {})
        return (
            (not projects or document["spec"]["project"] in projects)
            and name in {"", metadata["name"]}
            and all((labels.get(label) in values) is wanted for label, values, wanted in selector)
        )

    return matches


def _selector(text: str) -> list[tuple[str, set[str], bool]]:
    """Label, its values, whether it must have one of them. Only =, ==, != are understood."""
    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        left, operator, right = part.partition("=")
        if not operator or "(" in part:
            raise ApiError(
                INVALID_ARGUMENT, f"development stand-in: selector {part!r} is not understood"
            )
        label, wanted = left.removesuffix("!"), not left.endswith("!")
        found.append((label.strip(), {right.removeprefix("=").strip()}, wanted))
    return found

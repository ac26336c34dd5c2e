"""Writes the pages of docs/ that are made from the code: settings, statuses, reasons, lives.

Usage: python -m tools.reference
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tenantry.core.model import MOVES, SETTLED, Status
from tenantry.core.reasons import REASONS, Reason, tell_customer
from tenantry.devcluster.cases import CASES
from tenantry.settings import CellSettings, Settings
from tests.system.cases import OF_A_TENANT
from tools.lifecycle import lifecycle_page
from tools.tables import as_code, table
from tools.work import ROOT

SETTINGS_INTRO = """
# Settings

Every setting is an environment variable. Nothing else is read: there is no configuration file.
`tenantry doctor` looks at what they lead to and says what to mend. A value of the wrong form stops
the command that reads it, with the variable's name. An empty value of a setting without a default,
unless it is JSON, is as if it were not set.

Secrets are given as files, so that none stands in an environment. A database URL may be given
either way. Where a default is relative to the data folder, the folder is `TENANTRY_DATA_DIR`.

## The service
"""
CELL_INTRO = """
## A cell

A cell is one tenants repository with the Argo CD, sealing certificate and domain that belong to it.
Its variables are `TENANTRY_CELLS__<CELL>__<NAME>`. The cell's name is free, in capitals here and in
small letters elsewhere; tenants keep it, so choose it once. Without any such variable there is one
cell, `main`.
"""
STATUS_INTRO = """
# Statuses and reasons

What runs has a status; each status has a reason code. Codes are for programs and never change their
meaning. Sentences are for people: the operator's names what happened, the customer's says nothing
of what runs behind. A change on its way to a tenant that runs is told apart from the status, as
`change` (see [the API](api.md)). What becomes of a tenant as a trial or a paid time passes:
[the life of a subscription](lifecycle.md).


## Statuses

*Rests*: nothing is expected to happen by itself soon.
"""
REASONS_INTRO = """
## Reasons

An operator's sentence may go on with what Argo CD or the failing object said. It is kept with the
tenant's events in the database; customers never see it. A customer reads the sentence of the column
that fits: while the instance is set up, while it runs, or while it is degraded. An empty field
stands for the general sentence of its column. *Heals*: it passes by itself, or Argo CD tries it
again. A code that is a link has a section in the [runbook](runbook.md).
"""
REASON_COLUMNS = ("code", "heals", "operator", "customer: set up", "runs", "degraded")
CASES_INTRO = """
## What is told of what goes wrong

Each of these breaks of the [stand-in](stand-in.md) (`tenantry dev break <case>`) is tried by a test
with the whole service: a new tenant is told like this, and is ready after the break was mended.

"""
FIXED_INTRO = """
In these statuses the customer reads one sentence, whatever the reason:
"""

MEANINGS = {
    Status.PENDING: "Signed up; the configuration is not on main yet.",
    Status.AWAITING_REVIEW: "The first configuration waits for its review.",
    Status.PROVISIONING: "On main; not everything that makes it ready is there.",
    Status.READY: "What was published runs, and the instance's URL answers.",
    Status.DEGRADED: "It was ready; something is wrong with what runs.",
    Status.FAILED: "Argo CD gave up on the first deployment. It may still heal.",
    Status.READ_ONLY: "Runs, but the product refuses to write.",
    Status.SUSPENDED: "Nothing runs, data is kept.",
    Status.DELETING: "Is being removed. *Not yet: nothing asks for it.*",
    Status.DELETED: "Gone. *Not yet: nothing asks for it.*",
}

# defaults that are made when they are asked for
_MADE = {"product_dir": "what ships with Tenantry", "cells": "one cell, `main`"}


def settings_page() -> str:
    """docs/settings.md."""
    return (
        SETTINGS_INTRO.lstrip()
        + _settings(Settings, "TENANTRY_")
        + CELL_INTRO
        + _settings(CellSettings, "TENANTRY_CELLS__MAIN__")
    )


def status_page() -> str:
    """docs/status.md."""
    statuses = (
        (
            as_code(status),
            MEANINGS[status],
            _codes(MOVES[status]),
            "yes" if status in SETTLED else "",
        )
        for status in Status
    )
    return (
        STATUS_INTRO.lstrip()
        + table(("status", "meaning", "may be followed by", "rests"), statuses)
        + REASONS_INTRO
        + table(REASON_COLUMNS, _reasons())
        + FIXED_INTRO
        + table(("status", "customer"), _fixed_sentences())
        + CASES_INTRO
        + table(("case", "what is broken", "reason"), _cases())
    )


def _cases() -> Iterable[Sequence[str]]:
    for each in OF_A_TENANT:
        yield f"`{each.case}`", f"{CASES[each.case].plays}.", f"`{each.reason}`"


PAGES: dict[Path, Callable[[], str]] = {
    Path("docs/settings.md"): settings_page,
    Path("docs/status.md"): status_page,
    Path("docs/lifecycle.md"): lifecycle_page,
}


def write_pages(root: Path = ROOT) -> list[Path]:
    """Write every page anew; those that changed."""
    changed = []
    for path, make in PAGES.items():
        text = make()
        if not (root / path).exists() or (root / path).read_text() != text:
            (root / path).write_text(text)
            changed.append(path)
    return changed


def _reasons() -> Iterable[Sequence[str]]:
    general = Reason("")
    yield ("*general*", "", "", general.starting, general.running, general.degraded)
    for code, reason in REASONS.items():
        told = [
            "" if getattr(reason, when) == getattr(general, when) else getattr(reason, when)
            for when in ("starting", "running", "degraded")
        ]
        heals = "yes" if reason.heals else "no"
        yield (_link_runbook(code, reason), heals, f"{reason.operator}.", *told)


def _link_runbook(code: str, reason: Reason) -> str:
    return f"[{as_code(code)}](runbook.md#{code})" if reason.has_runbook else as_code(code)


def _fixed_sentences() -> Iterable[tuple[str, str]]:
    for status in Status:
        said = {tell_customer(code, status) for code in REASONS}
        if len(said) == 1:
            yield as_code(status), said.pop()


def _settings(model: type[BaseModel], prefix: str) -> str:
    schema = model.model_json_schema()
    rows = (
        (
            as_code(prefix + name.upper()),
            _form(schema["properties"][name], schema.get("$defs", {})),
            _MADE.get(name) or _default(field.default),
            (field.description or "").replace("<", "\\<"),
        )
        for name, field in model.model_fields.items()
    )
    return table(("variable", "value", "default", "meaning"), rows)


def _form(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a value looks like, from the setting's JSON schema."""
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    found = choices[0]
    if "$ref" in found:
        found = definitions[found["$ref"].rpartition("/")[2]]
    if "enum" in found:
        return " or ".join(as_code(value) for value in found["enum"])
    if found.get("type") == "boolean":
        return "`true` or `false`"
    if found.get("type") in ("integer", "number"):
        return _range(found) if "maximum" in found else "number"
    return {"path": "path", "uri": "URL", "password": "secret"}.get(
        found.get("format", ""), "JSON" if found.get("type") in ("object", "array") else "text"
    )


def _range(schema: dict[str, Any]) -> str:
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    above = "above " if "exclusiveMinimum" in schema else ""
    return f"number, {above}{least} to {schema['maximum']}"


def _default(value: object) -> str:
    if isinstance(value, bool):
        return as_code(str(value).lower())
    if value and isinstance(value, dict | tuple):
        return as_code(json.dumps(value))
    return as_code(str(value)) if value not in (None, "", {}, ()) else "–"


def _codes(statuses: Iterable[Status]) -> str:
    return ", ".join(as_code(status) for status in sorted(statuses)) or "–"


if __name__ == "__main__":
    for written in write_pages():
        print(f"written: {written}")

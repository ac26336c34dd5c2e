"""Checks a tenant's files against the shape of its class, of which one tenant was built in full.

Two overlays of one class (platform, plan, state, templates) may differ only in scalars at places
where the template has an expression over `tenant` or `ciphertext`; so what Kustomize makes of them
differs only there too, and a build of 100 ms is spared. What stands at such a place must be legal
for its role, every other byte must be the class's, and no file may name another tenant.

A shape is a list of lines, because a file is written with one scalar a line: some are fixed texts,
some are patterns.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenantry.core import naming
from tenantry.core.document import load
from tenantry.core.errors import ProductError
from tenantry.core.expressions import Expression, parse_leaf
from tenantry.core.model import TenantSpec
from tenantry.core.objects.checks import Expected
from tenantry.core.objects.sealed import is_ciphertext
from tenantry.core.overlay import KUSTOMIZATION, OF_TENANTS, Templates, write_patches
from tenantry.core.printer import UnsafeText, dump
from tenantry.core.problem import Problem
from tenantry.core.record import RECORD, Record, read_record

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_ROLES = {
    "name": r"[a-z0-9-]+",
    "customer_id": r"[a-z0-9-]+",
    "host": r"[a-z0-9.-]+",
    "tls_secret": r"[a-z0-9-]+",
    "environment": _LABEL,
    "created_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "license_version": _LABEL,
    "secrets_version": r"v[0-9a-f]{12}",
    "volumes": r"[1-9][0-9]{0,5}(?:Mi|Gi|Ti)",
    "ciphertext": r"[A-Za-z0-9+/=]+",
    "other": r'(?:[^"\\]|\\.)*',
}
_MARK = re.compile(rf"⟦({'|'.join(_ROLES)})⟧")
_TENANT = re.compile(rf"cust(?:omer)?-{naming.KEY.pattern}(?![a-z0-9])")


@dataclass(frozen=True)
class _Line:
    """A line with places where tenants may differ."""

    pattern: re.Pattern[str]
    roles: tuple[str, ...]  # of the pattern's groups


@dataclass(frozen=True)
class Shape:
    """What the files of every tenant of a class look like."""

    files: Mapping[str, Sequence[str | _Line]]
    record: Record  # of the tenant that was built


def class_key(
    spec: TenantSpec, *, templates: Templates, platform_tree: str, has_local: bool
) -> str:
    """Equal for tenants of one cell whose overlays may differ only in scalars.

    `platform_tree` stands for the content of the platform version, such as its Git tree id.
    """
    parts = [platform_tree, templates.fingerprint, sorted(spec.volumes), has_local]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    return f"{spec.platform}/{spec.plan}/{spec.state.value}/{digest}"


def find_shape(files: Mapping[str, bytes], templates: Templates) -> Shape | None:
    """The shape of a tenant's files (without `local/`) that were built and found good.

    None where they are not written as the templates would have it, so that they stand for no class.
    """
    record, _ = read_record(files.get(RECORD, b""), RECORD)
    if record is None:
        return None
    try:
        shapes = {name: _mark(files[name], tree, name) for name, tree in templates.trees.items()}
    except (KeyError, ProductError, UnsafeText, TypeError):
        return None
    return Shape({name: [_line(text) for text in lines] for name, lines in shapes.items()}, record)


def check_structure(
    files: Mapping[str, bytes], shape: Shape, *, expected: Expected
) -> list[Problem]:
    """What tells a tenant's files (without `local/`) from its class's, beyond values that may
    differ.
    """
    if set(files) != {*shape.files, RECORD}:
        names = sorted(set(files) ^ {*shape.files, RECORD})
        return [Problem(expected.name, f"the files differ from the class's: {names}")]
    problems = _check_record(files[RECORD], shape.record, expected)
    for name, lines in shape.files.items():
        problems += _check_file(f"{expected.name}/{name}", files[name], lines, expected)
    return problems


def _mark(content: bytes, template: Any, name: str) -> list[str]:
    """The file's lines with a mark wherever its template lets tenants differ."""
    tree = load(content, name)
    if name != KUSTOMIZATION:
        return dump(_mark_tree(tree, template)).decode().splitlines()
    patches = [
        {**patch, "patch": load(patch["patch"], name)}
        if isinstance(_at(marked, "patch"), (Mapping, list))
        else patch
        for patch, marked in zip(tree["patches"], template["patches"], strict=True)
    ]
    marked = _mark_tree({**tree, "patches": patches}, template)
    return dump(write_patches(marked)).decode().splitlines()


def _mark_tree(value: Any, template: Any) -> Any:
    parts = parse_leaf(str(template)) if isinstance(template, str) else ()
    if any(_varies(part) for part in parts):
        return _mark_leaf(value, parts)
    if isinstance(value, Mapping):
        return {key: _mark_tree(child, _at(template, key)) for key, child in value.items()}
    if isinstance(value, list):
        return [_mark_tree(child, _at(template, index)) for index, child in enumerate(value)]
    return value


def _mark_leaf(value: Any, parts: Sequence[str | Expression]) -> Any:
    if isinstance(value, Mapping):
        return {key: f"⟦{_role(parts[0])}⟧" for key in value}
    if not isinstance(value, str):
        raise TypeError("only texts may differ")
    return "".join(part if isinstance(part, str) else f"⟦{_role(part)}⟧" for part in parts)


def _varies(part: str | Expression) -> bool:
    """Whether an expression may give another value for another tenant of the class."""
    return isinstance(part, Expression) and any(read[0] in OF_TENANTS for read in part.reads)


def _role(part: str | Expression) -> str:
    if isinstance(part, str) or not part.is_plain:
        return "other"
    name, attribute = part.reads[0][0], part.reads[0][-1]
    role = attribute if name == "tenant" else "ciphertext"
    return role if role in _ROLES else "other"


def _at(template: Any, key: str | int) -> Any:
    """The template's child, or None where the file does not follow the template."""
    if isinstance(template, Mapping):
        return template.get(key)
    if isinstance(template, list) and isinstance(key, int) and key < len(template):
        return template[key]
    return None


def _line(text: str) -> str | _Line:
    parts = _MARK.split(text)  # text, role, text, role, …, text
    if len(parts) == 1:
        return text
    pattern = "".join(
        f"({_ROLES[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )
    return _Line(re.compile(pattern), tuple(parts[1::2]))


def _check_file(
    where: str, content: bytes, lines: Sequence[str | _Line], expected: Expected
) -> Iterator[Problem]:
    found = content.decode(errors="replace").split("\n")
    if found.pop() != "" or len(found) != len(lines):
        yield Problem(where, f"has {len(found)} lines, and its class {len(lines)}")
        return
    for number, (text, line) in enumerate(zip(found, lines, strict=True), start=1):
        if text != line and not (isinstance(line, _Line) and _fits(text, line, expected)):
            yield Problem(
                f"{where}:{number}", "is not what its class has there, or not this tenant's"
            )
    own = {expected.name, expected.customer_id}
    for name in sorted(set(_TENANT.findall("\n".join(found))) - own):
        yield Problem(where, f"names another tenant: {name}")


def _fits(text: str, line: _Line, expected: Expected) -> bool:
    match = line.pattern.fullmatch(text)
    return match is not None and all(
        _is_legal(role, value, expected)
        for role, value in zip(line.roles, match.groups(), strict=True)
    )


def _is_legal(role: str, value: str, expected: Expected) -> bool:
    if role == "ciphertext":
        return is_ciphertext(value)
    if role == "volumes":
        return expected.volumes is None or value in expected.volumes.values()
    if role == "tls_secret":
        return value == f"{expected.customer_id}-tls"
    known = getattr(expected, role, None)
    return known is None or value == known


def _check_record(content: bytes, built: Record, expected: Expected) -> list[Problem]:
    where = f"{expected.name}/{RECORD}"
    record, problems = read_record(content, where)
    if record is None:
        return problems
    said = (record.name, record.customer_id, record.host, record.state)
    wanted = (expected.name, expected.customer_id, expected.host, expected.state)
    same_class = (record.plan, record.platform) == (built.plan, built.platform)
    if said != wanted or not same_class:
        return [Problem(where, "tells of another tenant or class")]
    return []

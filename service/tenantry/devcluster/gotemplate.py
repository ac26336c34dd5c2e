"""The few Go templates that the stand-in understands: references, and `index`.

`{{ .name }}`, `{{ .path.path }}`, `{{ index .path.segments 1 }}`, `{{ index .labels "a" }}`.
Anything else is refused, so that no template silently means something else here than there.
A missing key is an error, as with `goTemplateOptions: [missingkey=error]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_ACTION = re.compile(r"\{\{(?P<left>-\s)?(?P<body>.*?)(?P<right>\s-)?\}\}", re.DOTALL)
_FIELD = re.compile(r"(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_ARGUMENT = re.compile(r'"(?P<text>[^"\\]*)"|(?P<number>\d+)')


class UnsupportedTemplate(ValueError):
    """A template that the stand-in does not understand."""


class MissingKey(ValueError):
    """A template names something that its parameters do not have."""


Lookup = Callable[[Mapping[str, Any]], Any]


def check(tree: Any) -> None:
    """Raise UnsupportedTemplate unless every text within is understood."""
    for text in _texts(tree):
        for action in _ACTION.finditer(text):
            _parse(action)
        if "{{" in _ACTION.sub("", text):
            raise UnsupportedTemplate(f"{text}: an action is not closed")


def render(tree: Any, parameters: Mapping[str, Any]) -> Any:
    """The tree with every text within (keys too) rendered; MissingKey, UnsupportedTemplate."""
    if isinstance(tree, str):
        return _ACTION.sub(lambda action: _printed(_parse(action)(parameters)), tree)
    if isinstance(tree, Mapping):
        return {render(key, parameters): render(value, parameters) for key, value in tree.items()}
    if isinstance(tree, list):
        return [render(item, parameters) for item in tree]
    return tree


def _parse(action: re.Match[str]) -> Lookup:
    body = action["body"].strip()
    if not body:
        raise UnsupportedTemplate("{{}}: an action is empty")
    if action["left"] or action["right"]:
        raise UnsupportedTemplate(f"{{{{{body}}}}}: trim markers are not understood")
    if _FIELD.fullmatch(body):
        return lambda parameters: _field(parameters, body)
    word, *rest = body.split()
    if word == "index" and rest and _FIELD.fullmatch(rest[0]):
        field, *arguments = rest
        if all(map(_ARGUMENT.fullmatch, arguments)):
            return lambda parameters: _index(parameters, field, arguments)
    raise UnsupportedTemplate(f"{{{{ {body} }}}}: only references and index are understood")


def _field(parameters: Mapping[str, Any], field: str) -> Any:
    value: Any = parameters
    for name in field[1:].split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise MissingKey(f'<{field}>: map has no entry for key "{name}"')
        value = value[name]
    return value


def _index(parameters: Mapping[str, Any], field: str, arguments: list[str]) -> Any:
    value = _field(parameters, field)
    for argument in arguments:
        try:
            value = value[int(argument)] if argument.isdigit() else value[argument.strip('"')]
        except (KeyError, IndexError, TypeError) as error:
            raise MissingKey(f"<index {field}>: no item {argument}") from error
    return value


def _printed(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<no value>" if value is None else str(value)


def _texts(tree: Any) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    if isinstance(tree, Mapping):
        return [text for pair in tree.items() for item in pair for text in _texts(item)]
    return [text for item in tree for text in _texts(item)] if isinstance(tree, list) else []

"""Whether a file holds a Kubernetes Secret that is not sealed.

Looks for what Kubernetes or Kustomize would make a Secret of, whatever the file is called. A file
that is no YAML may be mended by somebody, with the secret in its history: there, words decide.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tenantry.core.document import load_all
from tenantry.core.errors import ProductError

# An escape may spell the word: such a file is read, too.
_MAYBE = re.compile(r"(?<!Sealed)Secret|secretGenerator|\\[xuU]")
_WORDS = re.compile(r"""\bkind["']?\s*:\s*["']?Secret(?![A-Za-z])|\bsecretGenerator["']?\s*:""")
_DOCUMENTS = (".yaml", ".yml", ".json")


def holds_plain_secret(path: str, data: bytes) -> bool:
    """Whether a document of the file is a Secret, a list with one, or has Kustomize make one."""
    text = _decode(data)
    if not _MAYBE.search(text):
        return False
    try:
        documents = load_all(text, path)
    except ProductError:
        return path.endswith(_DOCUMENTS) and bool(_WORDS.search(text))
    return any(_makes_secret(each) for document in documents for each in _objects(document, set()))


def _decode(data: bytes) -> str:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def _objects(document: Any, seen: set[int]) -> Iterator[Mapping[str, Any]]:
    """The document and, of lists, what they hold. An alias is looked at once."""
    if not isinstance(document, Mapping) or id(document) in seen:
        return
    seen.add(id(document))
    yield document
    items = document.get("items")
    if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
        for item in items:
            yield from _objects(item, seen)


def _makes_secret(tree: Mapping[str, Any]) -> bool:
    return tree.get("kind") == "Secret" or bool(tree.get("secretGenerator"))

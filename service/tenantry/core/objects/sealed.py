"""Sealed secrets as they stand in Git: strict scope, complete, and really sealed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tenantry.core import pull_secret
from tenantry.core.objects.item import Item, find, tree
from tenantry.core.problem import Problem
from tenantry.core.product import Product

# bytes of an RSA block: keys of 2048, 3072, 4096 and 8192 bits
_RSA_BLOCKS = {256, 384, 512, 1024}
_OF_ACCOUNT = "kubernetes.io/service-account-token"  # a type of Secret that Kubernetes fills
_TAG = 16  # bytes of AES-GCM's tag, the least that follows the RSA block


def is_ciphertext(text: Any) -> bool:
    """Whether the text has the form that kubeseal writes: base64 of a length, an RSA block of that
    length, and AES-GCM output. It says nothing about who can open it.
    """
    if not isinstance(text, str):
        return False
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    block = int.from_bytes(raw[:2], "big")
    return block in _RSA_BLOCKS and len(raw) >= 2 + block + _TAG


def check_sealed(objects: Sequence[Item], product: Product) -> Iterator[Problem]:
    """Problems of every SealedSecret; the product's must be there with exactly their keys."""
    wanted: dict[str, tuple[Collection[str], str]] = {
        product.secret.name: (product.secret.keys, "Opaque")
    }
    if product.pull_secret:
        wanted[product.pull_secret] = ([pull_secret.KEY], pull_secret.TYPE)
    sealed = list(find(objects, "SealedSecret"))
    for name in sorted(wanted.keys() - {item.name for item in sealed}):
        yield Problem(f"SealedSecret/{name}", "is missing")
    for item in sealed:
        yield from _check_scope(item)
        yield from _check_values(item)
        if tree(item.spec, "template").get("type") == _OF_ACCOUNT:
            yield Problem(item.where, "makes a token for the cluster's API", "use another type")
        if item.name in wanted:
            yield from _check_content(item, *wanted[item.name])


def _check_scope(item: Item) -> Iterator[Problem]:
    template = tree(item.spec, "template")
    for found in (item.annotations, tree(template, "metadata", "annotations")):
        for name in found:
            if name.startswith("sealedsecrets.bitnami.com/") and name.endswith("-wide"):
                yield Problem(item.where, f"{name} weakens its scope", "seal it with strict scope")
    if template.get("data") or template.get("stringData") or item.spec.get("data"):
        yield Problem(item.where, "holds values beside the encrypted ones", "use encryptedData")


def _check_values(item: Item) -> Iterator[Problem]:
    for key, value in tree(item.spec, "encryptedData").items():
        if not is_ciphertext(value):
            yield Problem(item.where, f"the value of {key} is not sealed", "seal it with kubeseal")


def _check_content(item: Item, keys: Collection[str], kind: str) -> Iterator[Problem]:
    found, wanted = set(tree(item.spec, "encryptedData")), set(keys)
    if found != wanted:
        missing, more = sorted(wanted - found), sorted(found - wanted)
        yield Problem(item.where, f"keys differ from the product's: missing {missing}, more {more}")
    made = tree(item.spec, "template").get("type", "Opaque")
    if made != kind:
        yield Problem(item.where, f"makes a Secret of type {made!r}, not {kind}")

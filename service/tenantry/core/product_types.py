"""What may stand in a field of `tenant_templates/product.yaml`."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_SAFE = 2**53 - 1  # beyond it, some readers of a license's JSON have another number
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")

DnsLabel = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
Version = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?$")]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$")]
# as Kubernetes has it: "." and ".." are folders where a Secret is mounted
KeyName = Annotated[str, Field(max_length=253, pattern=r"^\.?[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
# no "//", "/." or "/..", which Kubernetes refuses in an Ingress
UrlPath = Annotated[
    str, Field(pattern=r"^(/\.{0,2}[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$", min_length=1)
]
FieldPath = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]
Number = Annotated[int, Field(strict=True)]
Limit = Annotated[int, Field(strict=True, ge=-_SAFE, le=_SAFE)]


def _is_line(text: str) -> str:
    """ValueError for what could not stand in a heading or in a mail's subject."""
    if any(unicodedata.category(c) in _UNSEEN for c in text):
        raise ValueError("must be one line without control characters")
    return text


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_is_line)]
Link = Annotated[
    str, Field(max_length=2000, pattern=r"^(https://|http://localhost[:/])[^\s\"'<>]+$")
]


class Part(BaseModel):
    """A part of the product, frozen; a field that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

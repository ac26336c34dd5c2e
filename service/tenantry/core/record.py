"""`tenant.json`: what ApplicationSets read of a tenant.

One malformed record stops the whole ApplicationSet, so there is exactly one spelling of it, and a
file that says the same in other bytes is refused too.
"""

from __future__ import annotations

import json
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tenantry.core import naming
from tenantry.core.model import State, TenantSpec
from tenantry.core.printer import UnsafeText, check_text
from tenantry.core.problem import Problem
from tenantry.core.product_types import DnsLabel, Version

RECORD = "tenant.json"

Host = Annotated[
    str,
    Field(
        max_length=253,
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    ),
]


class Record(BaseModel):
    """A tenant as the ApplicationSets and Argo CD's pages see it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    company: str
    customer_id: str
    host: Host
    name: str
    plan: DnsLabel
    platform: Version
    state: State

    @field_validator("company")
    @classmethod
    def _is_safe(cls, company: str) -> str:
        return check_text(company)

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        key = naming.key_of(self.name)
        if (self.name, self.customer_id) != (naming.tenant_name(key), naming.customer_id(key)):
            raise ValueError("name and customer_id must be customer-<key> and cust-<key>")
        return self

    @classmethod
    def of(cls, spec: TenantSpec) -> Record:
        """The record of a specification; UnsafeText for a company that YAML cannot hold."""
        check_text(spec.company)
        return cls(**{name: getattr(spec, name) for name in cls.model_fields})

    def to_bytes(self) -> bytes:
        """Real UTF-8: ApplicationSets read it as YAML, which has no surrogate escapes. One field a
        line.
        """
        fields = sorted(self.model_dump(mode="json").items())
        lines = [f'  "{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in fields]
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_record(data: bytes, where: str) -> tuple[Record | None, list[Problem]]:
    """The record in `data`, or what is wrong with it."""
    hint = "Tenantry writes this file; let its repair do it again"
    try:
        record = Record.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "it"
        return None, [Problem(where, f"{field}: {first['msg']}", hint)]
    except UnsafeText as error:
        return None, [Problem(where, str(error), hint)]
    if record.to_bytes() != data:
        return None, [Problem(where, "is not written as Tenantry writes it", hint)]
    return record, []

"""What all settings have in common."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class SettingsBase(BaseModel):
    """Settings that do not change, know all their names, and keep what was given out of errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_set(cls, value: object, info: ValidationInfo) -> object:
        """None for an empty one that may be missing: compose files and charts pass on what was not
        set as empty.
        """
        name = info.field_name
        is_optional = name and type(None) in get_args(cls.model_fields[name].annotation)
        return None if is_optional and value == "" else value

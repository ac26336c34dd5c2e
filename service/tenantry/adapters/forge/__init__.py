"""Forges: pull requests by API, with one interface for all kinds."""

from __future__ import annotations

from tenantry.adapters.forge.base import Draft, Forge, Pull, PullState
from tenantry.adapters.forge.making import make_forge

__all__ = ["Draft", "Forge", "Pull", "PullState", "make_forge"]

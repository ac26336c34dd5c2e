"""Forges: pull requests by API, with one interface for all kinds."""

from __future__ import annotations

from tenantry.adapters.forge.base import Draft, Forge, Pull, PullState

__all__ = ["Draft", "Forge", "Pull", "PullState"]

"""Tenantry: a signup becomes a running, licensed tenant, through Git."""

__version__ = "0.1.0"

"""Licenses: issued, issued anew with another key, and revoked."""

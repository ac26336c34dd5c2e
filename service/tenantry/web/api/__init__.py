"""The JSON API; each view carries its own description, see `web.openapi`."""

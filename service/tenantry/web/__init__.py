"""The HTTP face: JSON API, pages, and what operators' machines ask for."""

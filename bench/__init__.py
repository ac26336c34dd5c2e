"""Measurements. Each figure is a ratio to something in the same run; nothing here is a test."""

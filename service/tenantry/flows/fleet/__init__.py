"""Many tenants at once: listed, imported, sealed or rendered again, and followed to main."""

"""Set-up of a checkout: what `make` does before it runs anything. Standard library only."""

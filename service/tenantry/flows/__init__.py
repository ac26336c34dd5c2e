"""What the product does, one file per use case: core and adapters in a readable line."""

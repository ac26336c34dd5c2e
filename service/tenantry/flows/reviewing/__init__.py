"""Changes that wait for a person: their branches, their pull requests, and what came of them."""

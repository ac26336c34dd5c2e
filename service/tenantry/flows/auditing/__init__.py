"""Whether main shows what the database says, and how it is mended where it does not."""

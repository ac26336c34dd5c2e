"""From a row of the outbox to a letter that is handed over."""

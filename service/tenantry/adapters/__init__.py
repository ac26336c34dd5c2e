"""One outside thing each: a small interface and the real thing behind it."""

"""Pure rules: values in, values out. No I/O, clock, randomness or settings; those are arguments."""

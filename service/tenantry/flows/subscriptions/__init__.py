"""What customers have booked: told by events, followed through time, shown in Git."""

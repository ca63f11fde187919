"""What people decide about items: the log of judgements, and everything that follows from it."""

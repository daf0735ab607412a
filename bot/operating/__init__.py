"""What the operator sees of a bot at work."""

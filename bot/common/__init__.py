"""What every other room of the bot may use."""

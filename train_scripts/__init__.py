"""Data in, checkpoint out. Knows inference, not the bot."""

"""A picture in, a caption out. Knows nothing of Telegram."""

"""The Telegram service. Knows nothing of torch."""

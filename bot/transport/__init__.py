"""How updates come in and answers of Telegram are read: long polling, webhook, JSON."""

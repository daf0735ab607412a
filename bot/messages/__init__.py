"""Telegram's messages: who wrote them, which pictures they mean, what their buttons say, where they go."""

"""A stand-in of the Telegram Bot API on loopback, with a chat page in the browser."""

from bot.sandbox.server import Sandbox, run_sandbox

__all__ = ["Sandbox", "run_sandbox"]

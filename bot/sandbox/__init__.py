"""A stand-in of the Telegram Bot API on loopback, with a chat page in the browser."""

from bot.sandbox.scene import ME
from bot.sandbox.server import Sandbox

__all__ = ["ME", "Sandbox"]

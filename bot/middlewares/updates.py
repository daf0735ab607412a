"""What every update passes first: whoever counts them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.types import TelegramObject

from bot.feedback.database import StoreAway
from bot.messages.failures import may_not_write


class UpdatesMiddleware(BaseMiddleware):
    """Tells of every update: one of ``kinds`` or "other", its outcome, seconds.

    Outcomes: "handled", "ignored" (no handler wanted it), "put_off" (the database is away, it comes again),
    "forbidden" (the bot may not write there), "failed", "cancelled".
    """

    def __init__(self, kinds: tuple[str, ...], handled: Callable[[str, str, float], None]) -> None:
        self._kinds = kinds
        self._handled = handled

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        kind = next((kind for kind in self._kinds if getattr(event, kind, None) is not None), "other")
        outcome, began = "handled", time.perf_counter()
        try:
            result = await handler(event, data)
            if result is UNHANDLED:
                outcome = "ignored"
            return result
        except StoreAway:
            outcome = "put_off"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:
            outcome = "forbidden" if may_not_write(error) else "failed"
            raise
        finally:
            self._handled(kind, outcome, time.perf_counter() - began)

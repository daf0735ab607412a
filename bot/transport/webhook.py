"""Updates by webhook: Telegram posts them to us, or to a balancer before several bots with one database.

Telegram is answered as soon as the update is written down, before any work on it; what is posted again is
known by its number, by every bot of the database. A bot that was killed leaves its updates and pictures to
the others, or to its next start: whoever works on something says so every few seconds, and what nobody spoke
for in :data:`LEASE` seconds is taken over.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import ClientPayloadError, web

from bot.common.listening import listen
from bot.common.nursery import Nursery
from bot.feedback.database import StoreError
from bot.transport.wire import read_json, update_number
from bot.transport.written import WrittenUpdates

logger = logging.getLogger(__name__)

LEASE = 60.0  # seconds
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
LARGEST = 4_000_000  # bytes of an update; what is larger is refused with 413


class Webhook:
    """Takes updates by HTTP. ``take_over``: called now and then, to take up the pictures of a dead bot."""

    def __init__(
        self,
        written: WrittenUpdates,
        nursery: Nursery,
        *,
        secret: str,
        take_over: Callable[[], Awaitable[object]],
        lease: float = LEASE,
    ) -> None:
        self._written = written
        self._nursery = nursery
        self._secret = secret.encode()
        self._take_over = take_over
        self._lease = lease

    @asynccontextmanager
    async def serving(self, url: str, host: str, port: int) -> AsyncIterator[None]:
        """Listen while the block runs, at the path of ``url``. Raises OSError, whose text says what to do."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_post(urlsplit(url).path or "/", self._posted)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await listen(runner, host, port, what="The webhook", remedy="choose another WEBHOOK_PORT")
        try:
            yield
        finally:
            await runner.cleanup()

    async def watch(self) -> None:
        """Speak for what is in work here, and take over what nobody speaks for. For ever."""
        while True:
            try:
                await self._written.take_over(silent_for=self._lease)
                await self._take_over()
            except Exception:  # the database may be away for a while
                logger.exception("Looking for what a dead bot left failed")
            await asyncio.sleep(self._lease / 4)

    async def _posted(self, request: web.Request) -> web.Response:
        """Take what is posted.

        Telegram posts again whatever is not answered 200, for a day, while what is behind it waits: so only
        what may be whole, or written down, another time is answered otherwise.
        """
        secret = request.headers.get(SECRET_HEADER, "").encode(errors="surrogateescape")
        if not hmac.compare_digest(secret, self._secret):
            return web.Response(status=401)
        try:
            body = read_json(await request.read())
        except (ValueError, web.RequestPayloadError, ClientPayloadError) as error:
            logger.warning("What was posted is no JSON in UTF-8 (%s): is the proxy in order?", error)
            return web.Response(status=400)
        if not isinstance(body, dict) or "update_id" not in body:
            return web.Response(status=400)
        update_id = update_number(body)
        if update_id is None:
            logger.error("An update without a usable update_id is left out")
            return web.Response()
        try:
            new = await self._written.take(update_id, body)
        except StoreError as error:
            logger.error(
                "Update %d cannot be written down, Telegram will post it again: %s", update_id, error
            )
            return web.Response(status=503)
        if new:
            self._nursery.start(self._written.begin(update_id, body), name=f"posted {update_id}")
        return web.Response()

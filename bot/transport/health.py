"""GET /healthz: 200 while updates come and the worker is up, else 503, the details as JSON. GET /metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler


@asynccontextmanager
async def health_server(
    host: str,
    port: int,
    report: Callable[[], tuple[bool, dict[str, Any]]],
    registry: CollectorRegistry,
) -> AsyncIterator[None]:
    """Serve ``report`` (healthy?, details) and ``registry`` while the block runs.

    Raises OSError when the port is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        healthy, details = report()
        return web.json_response(
            {"status": "ok" if healthy else "unhealthy", **details}, status=200 if healthy else 503
        )

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()

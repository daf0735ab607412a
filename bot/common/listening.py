"""A server of ours at its port, which somebody else may have taken."""

from __future__ import annotations

import errno
import socket

from aiohttp import web

__all__ = ["listen"]


async def listen(runner: web.AppRunner, host: str, port: int, *, what: str, remedy: str) -> None:
    """Set the server up and listen. ``what``: begins the sentence for a port that cannot be had; ``remedy``:
    what to do then.

    Raises OSError, whose text is that sentence; the server is cleaned up then.
    """
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            remedy = f"give it an address of this machine instead of {host}"
        raise OSError(f"{what} cannot listen at {host}:{port} ({error}): {remedy}.") from error

"""The page over HTTP: a form for the password, the page itself, its pictures."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from bot.common.listening import listen
from bot.feedback.database import StoreError
from bot.feedback.store import Store
from bot.feedback.tables import now
from bot.operating.page.curves import HEIGHT, WIDTH, Curve, upper_edge
from bot.operating.page.door import SESSION, Door

logger = logging.getLogger(__name__)

RANGES = (7, 30, 90)  # days
DISLIKED = 20  # captions
_COOKIE = "meme-operator"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any, a browser tells no Origin of its own page either
    "Cache-Control": "no-store",
}
# What a browser shows; a picture in another format is only named.
_SHOWN = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OperatorPage:
    """Its handlers. ``ready``: whether the bot is, and the details."""

    def __init__(self, store: Store, ready: Callable[[], tuple[bool, dict[str, Any]]], door: Door) -> None:
        self._store = store
        self._ready = ready
        self._door = door
        self._templates = Environment(
            loader=PackageLoader("bot.operating.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def routes(self) -> list[web.RouteDef]:
        """What the page is served by."""
        return [
            web.get("/", self._page),
            web.get("/pictures/{number:[0-9]{1,18}}", self._picture),
            web.get("/login", self._form),
            web.post("/login", self._enter),
            web.post("/logout", self._leave),
            web.get("/style.css", self._style),
            web.get("/favicon.ico", self._no_icon),
        ]

    def _known(self, request: web.Request) -> bool:
        return self._door.knows(request.cookies.get(_COOKIE, ""))

    async def _page(self, request: web.Request) -> web.Response:
        if not self._known(request):
            raise web.HTTPSeeOther("/login")
        asked = request.query.get("days", "")
        days = int(asked) if asked in map(str, RANGES) else RANGES[1]
        ready, details = self._ready()
        try:
            overview = self._store.overview
            stats = await self._store.reports.stats()
            course = await overview.course(days)
            values: dict[str, Any] = {
                "stats": stats,
                "line": await overview.line(),
                "failures": await overview.failures(days),
                "disliked": await overview.disliked(days, most=DISLIKED),
            }
        except StoreError as error:
            return self._said("away.html", status=503, sentence=str(error))
        dates = [one.day for one in course]
        counts = {
            "Pictures answered": [one.answered for one in course],
            "Pictures not answered": [one.failed for one in course],
            "Marks": [one.marks for one in course],
        }
        curves = [Curve(title, dates, row, upper_edge(row)) for title, row in counts.items()]
        curves.append(Curve("Mean mark", dates, [one.mean_mark for one in course], top=5.0, digits=2))
        return self._said(
            "page.html",
            **values,
            ready=ready,
            details=details,
            curves=curves,
            days=days,
            ranges=RANGES,
            now=now(),
            width=WIDTH,
            height=HEIGHT,
            shown=_SHOWN,
        )

    async def _picture(self, request: web.Request) -> web.Response:
        if not self._known(request):
            raise web.HTTPForbidden
        picture = await self._store.pictures.get(int(request.match_info["number"]))
        if picture is None or picture.path is None:  # not kept, or no more
            raise web.HTTPNotFound
        kind = _SHOWN.get(picture.path.rpartition(".")[2])
        if kind is None:
            raise web.HTTPNotFound
        try:
            body = await asyncio.to_thread(self._store.pictures.file(picture.path).read_bytes)
        except OSError:
            raise web.HTTPNotFound from None
        return web.Response(body=body, content_type=kind)

    async def _form(self, _: web.Request) -> web.Response:
        return self._said("login.html", sentence="")

    async def _enter(self, request: web.Request) -> web.Response:
        if (pause := self._door.wait()) > 0:
            sentence = f"Too many tries. Wait {math.ceil(pause)} s."
            told = self._said("login.html", status=429, sentence=sentence)
            told.headers["Retry-After"] = str(math.ceil(pause))
            return told
        try:
            password = (await request.post()).get("password")
        except (LookupError, ValueError):  # letters of a kind that there is not, or that it is not of
            raise web.HTTPBadRequest from None
        session = self._door.enter(password) if isinstance(password, str) else None
        if session is None:
            logger.warning("Somebody tried to see the operator's page with a wrong password")
            return self._said("login.html", status=403, sentence="That is not the password. Try again.")
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.set_cookie(
            _COOKIE,
            session,
            max_age=int(SESSION),
            httponly=True,
            samesite="Strict",
            secure=request.headers.get("X-Forwarded-Proto") == "https",
        )
        return answer

    async def _leave(self, request: web.Request) -> web.Response:
        self._door.leave(request.cookies.get(_COOKIE, ""))
        answer = web.Response(status=303, headers={"Location": "/login"})
        answer.del_cookie(_COOKIE)
        return answer

    async def _style(self, _: web.Request) -> web.Response:
        body = resources.files(__package__ or "").joinpath("static", "style.css").read_bytes()
        return web.Response(body=body, content_type="text/css", charset="utf-8")

    async def _no_icon(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    def _said(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        text = self._templates.get_template(template).render(**values)
        return web.Response(text=text, content_type="text/html", status=status)


@web.middleware
async def _guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse what a page of another site sends, and give each answer its headers."""
    origin = request.headers.get("Origin", "")
    if request.method == "POST" and origin and origin.partition("://")[2] != request.host:
        raise web.HTTPForbidden(headers=_HEADERS)
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        error.headers.update(_HEADERS)
        raise
    answer.headers.update(_HEADERS)
    return answer


@asynccontextmanager
async def serve_page(
    store: Store, ready: Callable[[], tuple[bool, dict[str, Any]]], door: Door, host: str, port: int
) -> AsyncIterator[None]:
    """Serve the page while the block runs. Raises OSError, whose text says what to do."""
    app = web.Application(middlewares=[_guard], client_max_size=10_000)
    app.add_routes(OperatorPage(store, ready, door).routes())
    runner = web.AppRunner(app, access_log=None)
    await listen(runner, host, port, what="The operator's page", remedy="choose another OPERATOR_PORT")
    try:
        logger.info("The operator's page is at http://%s:%d", host, runner.addresses[0][1])
        yield
    finally:
        await runner.cleanup()

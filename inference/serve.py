"""The engine behind HTTP, for bots and programs on other machines; :mod:`inference.remote` has the protocol.

On one machine an aiohttp server has one engine. With Ray Serve every replica, on whichever machine of the
cluster, has an engine of its own; Ray's proxies spread the pictures over them. Either way it is the engine
that joins pictures that come together into one batch.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any

from aiohttp import web

from inference.engine import Engine, EngineSettings
from inference.pictures import MAX_BYTES
from inference.remote import ERRORS
from inference.types import DecodingOptions, EngineError, PictureError

logger = logging.getLogger(__name__)

ENGINE = web.AppKey("engine", Engine)

Answer = tuple[int, dict[str, Any]]  # HTTP status, JSON


async def respond(
    engine: Engine, method: str, path: str, query: Mapping[str, str], body: Callable[[], Awaitable[bytes]]
) -> Answer:
    """What a request is answered with, whichever server took it."""
    answer: Answer
    try:
        match "GET" if method == "HEAD" else method, path.rstrip("/"):
            case "POST", "/caption":
                answer = await _caption(engine, query, await body())
            case "GET", "/models":
                models = [asdict(model) for model in await asyncio.to_thread(engine.models)]
                answer = HTTPStatus.OK, {"default": engine.settings.model, "models": models}
            case "GET", "/checkpoint":
                version = await asyncio.to_thread(engine.version, query.get("model"))
                answer = HTTPStatus.OK, asdict(version)
            case "GET", "/healthz":
                status = HTTPStatus.OK if engine.healthy else HTTPStatus.SERVICE_UNAVAILABLE
                answer = status, {"healthy": engine.healthy, "waiting": engine.waiting}
            case _:
                sentence = (
                    "Nothing is here: POST a picture to /caption, or GET /models, /checkpoint, /healthz."
                )
                answer = HTTPStatus.NOT_FOUND, {"error": "failed", "sentence": sentence}
    except PictureError as error:
        told = {"error": "picture", "code": error.code, "sentence": str(error)}
        answer = HTTPStatus.UNPROCESSABLE_ENTITY, told
    except EngineError as error:
        kind = next(name for name, (kind, _) in ERRORS.items() if type(error) is kind or kind is EngineError)
        answer = ERRORS[kind][1], {"error": kind, "sentence": str(error)}
    return answer


async def _caption(engine: Engine, query: Mapping[str, str], data: bytes) -> Answer:
    if len(data) > MAX_BYTES:
        raise _too_large()
    try:
        options = DecodingOptions.from_dict(json.loads(query["options"])) if "options" in query else None
    except (ValueError, TypeError) as error:
        sentence = f"The decoding options cannot be used ({error}): send a JSON object of known options."
        return HTTPStatus.BAD_REQUEST, {"error": "failed", "sentence": sentence}
    caption = await engine.caption(data, options=options, model=query.get("model"))
    return HTTPStatus.OK, caption.to_dict()


def http_app(settings: EngineSettings) -> web.Application:
    """An aiohttp application that starts an engine with itself, and ends it."""

    async def handle(request: web.Request) -> web.Response:
        async def body() -> bytes:
            try:
                return await request.read()
            except web.HTTPRequestEntityTooLarge as error:
                raise _too_large() from error

        status, answer = await respond(app[ENGINE], request.method, request.path, request.query, body)
        return web.json_response(answer, status=status, dumps=_dumps)

    async def engine(app: web.Application) -> AsyncIterator[None]:
        async with Engine(settings) as app[ENGINE]:
            yield

    app = web.Application(client_max_size=MAX_BYTES)
    app.cleanup_ctx.append(engine)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def ray_app(settings: EngineSettings, *, replicas: int = 1) -> Any:
    """The same as an application for ``ray.serve.run``: ``replicas`` engines, on the machines of the cluster.

    Every machine needs this project, and its checkpoints under the same path. Raises ImportError without Ray.
    """
    from ray import serve  # noqa: PLC0415 - an optional dependency
    from starlette.requests import Request  # noqa: PLC0415
    from starlette.responses import Response  # noqa: PLC0415

    class Captioning:
        """One replica: an engine, with its worker process beside it."""

        def __init__(self) -> None:
            self._engine = Engine(settings)
            self._starting = asyncio.Lock()
            self._started = False

        async def __call__(self, request: Request) -> Response:
            async with self._starting:
                if not self._started:
                    await self._engine.start()
                    self._started = True
            status, answer = await respond(
                self._engine, request.method, request.url.path, request.query_params, request.body
            )
            return Response(_dumps(answer), status_code=status, media_type="application/json")

    deployment = serve.deployment(
        Captioning,
        name="captioner",
        num_replicas=replicas,
        # As many as the engine takes; what is more waits in Ray's proxies instead of being refused.
        max_ongoing_requests=settings.queue_size,
        ray_actor_options={"num_cpus": settings.threads or 1},
    )
    return deployment.bind()


def run_on_ray(settings: EngineSettings, *, address: str, host: str, port: int, replicas: int) -> None:
    """Deploy on the cluster at ``address`` ("local" starts one on this machine) and stay until interrupted.

    Raises ImportError without Ray, EngineError when the cluster cannot be reached or does not take it.
    """
    import ray  # noqa: PLC0415 - an optional dependency
    from ray import serve  # noqa: PLC0415

    # Replicas start elsewhere: a path relative to this folder would mean nothing there.
    settings = replace(settings, models_dir=settings.models_dir.resolve())
    try:
        if address == "local":
            ray.init(address="local", include_dashboard=False)
        else:
            ray.init(address=address)
        serve.start(proxy_location="EveryNode", http_options={"host": host, "port": port})
        serve.run(
            ray_app(settings, replicas=replicas), name="meme-describer", route_prefix="/", blocking=True
        )
    except Exception as error:  # Ray's errors have no base class in common
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise EngineError(
            f"Ray at {address!r} does not serve ({first}): see its log, or try again."
        ) from error
    finally:
        ray.shutdown()


def _too_large() -> PictureError:
    limit = MAX_BYTES // 1_000_000
    return PictureError("too_large", f"The file is larger than {limit} MB: make a smaller copy of it.")


def _dumps(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False, default=float)

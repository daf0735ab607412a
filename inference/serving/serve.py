"""The engine behind HTTP, for bots and programs on other machines; :mod:`.remote` has the protocol.

Under ``/v1`` it speaks OpenAI's as well (:mod:`.openai_api`).

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
from typing import Annotated, Any

from aiohttp import ClientPayloadError, web
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.aiohttp import make_aiohttp_handler
from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, TypeAdapter, ValidationError

from inference.common.extras import require
from inference.common.tracing import of_picture, readable_id
from inference.common.types import DecodingOptions, EngineError, PictureError, Turn, checked_question
from inference.pictures.opening import MAX_BYTES
from inference.serving import openai_errors
from inference.serving.access import KEY_WANTED, Access
from inference.serving.engine import Engine, EngineSettings
from inference.serving.errors import kind_of
from inference.serving.exchange import Reply, Request, first_mistake, too_large, without_paths
from inference.serving.metrics import TELL_PERIOD, EngineMetrics, Gathering, new_registry, together
from inference.serving.openai_api import OpenAIApi
from inference.serving.remote import ERRORS, PICTURE_HEADER
from inference.serving.uploads import Files

logger = logging.getLogger(__name__)

ENGINE = web.AppKey("engine", Engine)
_SERVICE: web.AppKey[Service] = web.AppKey("service")
OPENAI = "/v1"  # where OpenAI's protocol is spoken

MOST = {"beams": 32, "max_tokens": 2048}  # that a caller may ask for: memory grows with both

_NAMES = TypeAdapter(list[str])

# Bytes of a request: in a conversation a picture stands in base64, and again with each question about it.
MOST_BODY = 3 * MAX_BYTES

_Told = tuple[int, dict[str, Any]]  # HTTP status, JSON


class Service:
    """What the requests to one engine are answered with, whichever server takes them.

    ``keeps_files``: a file that was uploaded is there when it is asked for, since no other engine answers.
    """

    def __init__(self, engine: Engine, access: Access, *, keeps_files: bool = True) -> None:
        self._engine = engine
        self._access = access
        self._openai = OpenAIApi(engine, Files() if keeps_files else None)

    def refusal(self, request: Request) -> Reply | None:
        """The reply to a request of somebody who is not served; None: they are."""
        path = request.path.rstrip("/")
        refused = self._access.refusal(request.headers, open_to_all=path == "/healthz")
        if refused is None:
            return None
        why, sentence = refused
        tell = openai_errors.refusal if path.startswith(f"{OPENAI}/") else _refusal
        return tell(why, ERRORS[why][1], sentence)

    async def respond(self, request: Request, body: Callable[[], Awaitable[bytes]]) -> Reply:
        """The reply to a request. Raises nothing."""
        with of_picture(readable_id(request.headers.get(PICTURE_HEADER))):
            return await self._reply(request, body)

    async def _reply(self, request: Request, body: Callable[[], Awaitable[bytes]]) -> Reply:
        path = request.path.rstrip("/")
        method = "GET" if request.method == "HEAD" else request.method
        openai = path.startswith(f"{OPENAI}/")
        tell = openai_errors.refusal if openai else _refusal
        if (refused := self.refusal(request)) is not None:
            return refused
        try:
            if openai:
                caller = self._access.caller(request.headers)
                return await self._openai.answer(method, path.removeprefix(OPENAI), request, body, caller)
            status, told = await _answer(self._engine, method, path, request, body)
            return Reply.of(status, told)
        except PictureError as error:
            return tell("picture", HTTPStatus.UNPROCESSABLE_ENTITY, str(error), error.code)
        except EngineError as error:
            kind = kind_of(error)
            sentence = without_paths(str(error), self._engine.settings)
            if sentence != str(error):
                logger.warning("%s", error)
            return tell(kind, ERRORS[kind][1], sentence)
        except Exception:
            logger.exception("A request broke the service")
            sentence = "The service broke down on this request: see its log."
            return tell("failed", HTTPStatus.INTERNAL_SERVER_ERROR, sentence)


def _refusal(kind: str, status: int, sentence: str, code: str | None = None) -> Reply:
    """Why there is no caption, as :mod:`.remote` reads it."""
    of_picture = {} if code is None else {"code": code}
    told = {"error": kind, **of_picture, "sentence": sentence}
    return Reply.of(status, told, KEY_WANTED if kind == "key" else None)


async def _answer(
    engine: Engine, method: str, path: str, request: Request, body: Callable[[], Awaitable[bytes]]
) -> _Told:
    match method, path:
        case "POST", "/caption":
            return await _caption(engine, request.query, await body())
        case "POST", "/ask":
            return await _ask(engine, await body())
        case "GET", "/models" | "/hosts" | "/checkpoint":
            return await _known(engine, path, request.query)
        case "GET", "/healthz":
            status = HTTPStatus.OK if engine.healthy else HTTPStatus.SERVICE_UNAVAILABLE
            return status, {"healthy": engine.healthy, "waiting": engine.waiting}
    sentence = (
        "Nothing is here: POST a picture to /caption or /ask, or GET /models, /checkpoint, /hosts, "
        "/healthz or /metrics. "
        f"Programs that speak OpenAI's protocol ask under {OPENAI}."
    )
    return HTTPStatus.NOT_FOUND, {"error": "failed", "sentence": sentence}


async def _known(engine: Engine, path: str, query: Mapping[str, str]) -> _Told:
    """What is known of the models."""
    try:
        names = _NAMES.validate_json(query.get("also" if path == "/models" else "models", "[]"))
    except ValueError:
        return _wrong("The names of models cannot be used: send a JSON list of texts.")

    def told() -> dict[str, Any]:
        if path == "/hosts":
            return {"hosts": engine.hosts(names)}
        if path == "/checkpoint":
            return asdict(engine.version(query.get("model")))
        models = [asdict(model) for model in engine.models(names)]
        missing = [asdict(model) for model in engine.missing()]
        return {"default": engine.settings.model, "models": models, "missing": missing}

    return HTTPStatus.OK, await asyncio.to_thread(told)


async def _caption(engine: Engine, query: Mapping[str, str], data: bytes) -> _Told:
    _refuse_large(data)
    try:
        options = _options(json.loads(query["options"])) if "options" in query else None
    except (ValueError, TypeError, RecursionError) as error:
        return _wrong(f"The decoding options cannot be used ({error}): send a JSON object of known options.")
    caption = await engine.caption(data, options=options, model=query.get("model"))
    return HTTPStatus.OK, caption.to_dict()


async def _ask(engine: Engine, body: bytes) -> _Told:
    try:
        asked = _Asked.model_validate_json(body)
        options = None if asked.options is None else _options(asked.options)
    except ValidationError as error:
        where, what = first_mistake(error)
        return _wrong(
            f"The question cannot be used ({where}{': ' if where else ''}{what}): send a picture and a "
            "question as JSON."
        )
    except (ValueError, TypeError) as error:
        return _wrong(
            f"The question's options cannot be used ({error}): send a JSON object of known options."
        )
    _refuse_large(asked.picture)
    answer = await engine.ask(
        asked.picture, asked.question, turns=asked.turns, options=options, model=asked.model
    )
    return HTTPStatus.OK, answer.to_dict()


class _Asked(BaseModel):
    """The body of ``POST /ask``."""

    # Of what was sent nothing is repeated: it is somebody's picture.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    picture: Base64Bytes
    question: Annotated[str, AfterValidator(checked_question)]
    turns: list[Turn] = []
    options: dict[str, Any] | None = None
    model: str | None = None


def _options(values: Any) -> DecodingOptions:
    """Raises ValueError or TypeError, also for more than a caller may ask for."""
    options = DecodingOptions.from_dict(values)
    for name, most in MOST.items():
        if getattr(options, name) > most:
            raise ValueError(f"{name} may be {most} at most")
    return options


def _wrong(sentence: str) -> _Told:
    return HTTPStatus.BAD_REQUEST, {"error": "failed", "sentence": sentence}


def _refuse_large(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise too_large()


def http_app(settings: EngineSettings, access: Access | None = None) -> web.Application:
    """An aiohttp application that starts an engine with itself, and ends it.

    ``access``: who is served; None: programs of this machine.
    """
    allowed = access or Access.of("127.0.0.1")

    async def handle(request: web.Request) -> web.Response:
        async def body() -> bytes:
            try:
                return await request.read()
            except web.HTTPRequestEntityTooLarge as error:
                raise too_large() from error
            except (web.RequestPayloadError, ClientPayloadError) as error:
                raise PictureError("truncated", "The picture did not come whole: send it again.") from error

        reply = await app[_SERVICE].respond(_asked(request), body)
        return _response(reply)

    registry = new_registry()
    exposition = make_aiohttp_handler(registry)

    async def metrics(request: web.Request) -> web.StreamResponse:
        refused = app[_SERVICE].refusal(_asked(request))
        return await exposition(request) if refused is None else _response(refused)

    async def engine(app: web.Application) -> AsyncIterator[None]:
        async with Engine(settings) as app[ENGINE]:
            await app[ENGINE].check_loader()
            app[_SERVICE] = Service(app[ENGINE], allowed)
            EngineMetrics(app[ENGINE], registry)
            yield

    app = web.Application(client_max_size=MOST_BODY)
    app.cleanup_ctx.append(engine)
    app.router.add_get("/metrics", metrics)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def ray_app(settings: EngineSettings, access: Access, log: Callable[[], object], *, replicas: int = 1) -> Any:
    """The same as an application for ``ray.serve.run``: ``replicas`` engines, on the machines of the cluster.

    Every machine needs this project, and its checkpoints under the same path. ``log`` begins to log in each
    process.
    """
    from ray import serve  # noqa: PLC0415 - an optional dependency
    from starlette.requests import Request as RayRequest  # noqa: PLC0415
    from starlette.responses import Response  # noqa: PLC0415

    class Captioning:
        """One replica: an engine, with its worker process beside it."""

        def __init__(self, gathering: Any) -> None:
            log()
            self._engine = Engine(settings)
            self._service = Service(self._engine, access, keeps_files=replicas == 1)
            self._registry = new_registry()
            EngineMetrics(self._engine, self._registry)
            self._gathering = gathering
            self._name = serve.get_replica_context().replica_id.unique_id
            self._starting = asyncio.Lock()
            self._telling: asyncio.Task[None] | None = None

        async def __call__(self, request: RayRequest) -> Response:
            async with self._starting:
                if self._telling is None:
                    await self._engine.start()
                    self._telling = asyncio.create_task(self._go_on_telling())
            asked = Request(request.method, request.url.path, request.query_params, request.headers)
            if (asked.method, asked.path) == ("GET", "/metrics"):
                reply = self._service.refusal(asked) or await self._metrics()
            else:
                reply = await self._service.respond(asked, request.body)
            return Response(reply.body, status_code=reply.status, headers=dict(reply.headers))

        async def _metrics(self) -> Reply:
            """Of all replicas: nobody knows which of them a scrape comes to."""
            await self._tell()
            told = together(await self._gathering.all.remote())
            return Reply(HTTPStatus.OK, told, {"Content-Type": CONTENT_TYPE_LATEST})

        async def _tell(self) -> None:
            await self._gathering.tell.remote(self._name, list(self._registry.collect()))

        async def _go_on_telling(self) -> None:
            while True:
                try:
                    await self._tell()
                except Exception:  # Ray's errors have no base class in common
                    logger.exception("What this engine did is not told")
                await asyncio.sleep(TELL_PERIOD)

    gathering = serve.deployment(
        Gathering,
        name="metrics",
        ray_actor_options={"num_cpus": 0},
        logging_config={"enable_access_log": False},  # it is told something every few seconds
    )
    deployment = serve.deployment(
        Captioning,
        name="captioner",
        num_replicas=replicas,
        # As many as the engine takes, for models here and elsewhere; what is more waits in Ray's proxies
        # instead of being refused.
        max_ongoing_requests=2 * settings.queue_size,
        ray_actor_options={"num_cpus": settings.threads or 1},
    )
    return deployment.bind(gathering.bind())


def run_on_ray(
    settings: EngineSettings,
    access: Access,
    log: Callable[[], object],
    *,
    address: str,
    host: str,
    port: int,
    replicas: int,
) -> None:
    """Deploy on the cluster at ``address`` ("local" starts one on this machine) and stay until interrupted.

    Raises NotInstalled without Ray, EngineError when the cluster cannot be reached or does not take it.
    """
    require("serve", "'python -m inference serve --ray'")
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
            ray_app(settings, access, log, replicas=replicas),
            name="meme-describer",
            route_prefix="/",
            blocking=True,
        )
    except Exception as error:  # Ray's errors have no base class in common
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise EngineError(
            f"Ray at {address!r} does not serve ({first}): see its log, or try again."
        ) from error
    finally:
        ray.shutdown()


def _asked(request: web.Request) -> Request:
    return Request(request.method, request.path, request.query, request.headers)


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

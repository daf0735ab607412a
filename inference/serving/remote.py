"""The engine on another machine: what :class:`inference.serving.engine.Engine` offers, over plain HTTP.

The other side is ``python -m inference serve``, on one machine or, with Ray Serve, on several:

* ``POST /caption?model=NAME&options=JSON``, the picture's file as the body, to a caption
  (:meth:`inference.common.types.Caption.to_dict`); both parameters may be left out.
* ``POST /ask``, the body ``{"picture": base64, "question", "turns": [{"question", "answer"}], "options",
  "model"}``, to an answer (:meth:`inference.common.types.Answer.to_dict`); the last three may be left out.
* ``GET /models?also=JSON`` to ``{"default": NAME, "models": [{"name", "checkpoint", "description",
  "parameters", "description_ru", "scores": [{"key", "name", "value"}], "talks"}],
  "missing": [{"name", "description", "description_ru", "command"}]}``; ``also``: a list of names of models
  that are not offered by themselves, which may be left out.
* ``GET /checkpoint?model=NAME`` to ``{"checkpoint": HASH, "program": HASH}``.
* ``GET /hosts?models=NAMES`` to ``{"hosts": {NAME: HOST:PORT}}``: to which other machines pictures for models
  go; of those that stay where the service is, nothing. ``models``: a list of names.
* ``GET /healthz``: 200 when the default model can caption, else 503.
* ``GET /metrics``: what the engine did and holds, in Prometheus' format; with Ray, what all replicas did,
  each by its label ``replica``.

A service with keys wants one of them with each request but that for its health, as
``Authorization: Bearer KEY``.

Where nothing can be answered the status is not 200, and the body is
``{"error": one of ERRORS or "picture", "code": of a picture's error, "sentence": what to tell}``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import io
import json
import logging
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Self

import aiohttp

from inference.checkpoints.models import MissingModel, ModelInfo
from inference.common.tracing import picture_id
from inference.common.types import (
    Answer,
    Caption,
    DecodingOptions,
    EngineError,
    PictureError,
    PictureTimeout,
    Turn,
    Version,
)
from inference.serving.errors import KINDS

logger = logging.getLogger(__name__)

_STATUSES = {
    "busy": 503,
    "timeout": 504,
    "unknown_model": 404,
    "not_loaded": 503,
    "cannot_talk": 422,
    "key": 401,
    "refused": 403,
}
# By the word that tells it: the error, and the HTTP status that goes with it.
ERRORS: dict[str, tuple[type[EngineError], int]] = {
    name: (kind, _STATUSES.get(name, 500)) for name, kind in KINDS.items()
}

PICTURE_HEADER = "X-Picture-Id"  # what a request is about in the logs of both sides

_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before another try where nobody answers, as while a service restarts
_KEPT = 5.0  # seconds that a model's version is believed without asking again
_WATCH = 2.0  # seconds between two looks at the service's health


class RemoteEngine:
    """The way to a caption where the models run elsewhere::

        async with RemoteEngine("http://gpu-box:8100") as engine:
            caption = await engine.caption(Path("meme.jpg").read_bytes())

    ``timeout``: seconds that one picture may take, the queue at the service included. ``api_key``: one of the
    service's keys. A name and a password in ``url`` are for a proxy before it; where both are given the key
    goes. Neither stands in an error or in the log. Raises ValueError when ``url`` is not an http or https
    address.
    """

    def __init__(
        self, url: str, *, model: str | None = None, timeout: float = 300.0, api_key: str | None = None
    ) -> None:
        self.url, user_info = _without_user_info(url)
        self.model = model  # None: the service's own default
        self.timeout = timeout
        authorization = f"Bearer {api_key}" if api_key else user_info
        self._headers = {"Authorization": authorization} if authorization else {}
        self._session: aiohttp.ClientSession | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._open = 0
        self._healthy = False
        self._told: bool | None = None  # what the log says of its health
        self._versions: dict[str | None, tuple[float, Version]] = {}
        self._lock = threading.Lock()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to watch the service; it need not be up yet."""
        self._session = aiohttp.ClientSession(headers=self._headers)
        await self._look()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Close the connections. Whoever still waits for a caption gets an EngineError."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._healthy = False

    async def caption(
        self, data: bytes, *, options: DecodingOptions | None = None, model: str | None = None
    ) -> Caption:
        """Describe one picture; arguments and errors are those of :meth:`.engine.Engine.caption`.

        An EngineError also says that the service cannot be reached; it is tried for some seconds before.
        """
        query = {"model": model or self.model, "options": json.dumps(options.to_dict()) if options else None}
        given = {key: value for key, value in query.items() if value}
        with self._understood():
            return Caption.from_dict(await self._post("/caption", given, data))

    async def ask(
        self,
        data: bytes,
        question: str,
        *,
        turns: Sequence[Turn] = (),
        options: DecodingOptions | None = None,
        model: str | None = None,
    ) -> Answer:
        """Answer a question about one picture; arguments and errors are those of :meth:`.engine.Engine.ask`,
        and EngineError as of :meth:`caption`.
        """
        asked = {
            "picture": base64.b64encode(data).decode(),
            "question": question,
            "turns": [asdict(turn) for turn in turns],
            "options": options.to_dict() if options else None,
            "model": model or self.model,
        }
        with self._understood():
            return Answer.from_dict(await self._post("/ask", {}, json.dumps(asked).encode()))

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        """A picture is with the service; what it says is of this version."""
        self._open += 1
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, PictureError):
                raise
            raise self._stranger() from error
        finally:
            self._open -= 1

    def checkpoint(self, model: str | None = None) -> str:
        """The hash of the model (default: the default model's) that the service has. As :meth:`version`."""
        return self.version(model).checkpoint

    def version(self, model: str | None = None) -> Version:
        """What the service's captions by this model (default: the default model) come from.

        Blocking; may be called in any thread. What was asked lately is not asked again. Raises UnknownModel,
        or EngineError when the service cannot be reached.
        """
        name = model or self.model
        with self._lock:
            asked, found = self._versions.get(name, (-_KEPT, Version("", "")))
            if time.monotonic() - asked < _KEPT:
                return found
            answer = self._get("/checkpoint", {"model": name} if name else {})
            try:
                # A service of before there was a program's hash says none, and its captions have none.
                found = Version(str(answer["checkpoint"]), str(answer.get("program", "")))
            except (KeyError, TypeError, AttributeError) as error:
                raise self._stranger() from error
            self._versions[name] = (time.monotonic(), found)
            return found

    def models(self, also: Iterable[str] = ()) -> list[ModelInfo]:
        """The models that the service has, as of :meth:`.engine.Engine.models`. Blocking. Raises
        EngineError.
        """
        query = {"also": json.dumps(names)} if (names := [*also]) else None
        try:
            return [ModelInfo.from_dict(values) for values in self._get("/models", query)["models"]]
        except (KeyError, TypeError) as error:
            raise self._stranger() from error

    def hosts(self, models: Iterable[str]) -> dict[str, str]:
        """To which machines the service passes pictures for these models on, as HOST:PORT, by the model's
        name; of those that it keeps, nothing. Blocking. Raises EngineError.
        """
        found = self._get("/hosts", {"models": json.dumps([*models])})
        try:
            return {str(name): str(host) for name, host in found["hosts"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise self._stranger() from error

    def missing(self) -> list[MissingModel]:
        """The models that the service knows and has not. Blocking. Raises EngineError."""
        try:
            return [MissingModel(**values) for values in self._get("/models")["missing"]]
        except (KeyError, TypeError) as error:
            raise self._stranger() from error

    @property
    def waiting(self) -> int:
        """This client's pictures that the service has not answered."""
        return self._open

    @property
    def healthy(self) -> bool:
        """Whether the service said so when it was last looked at."""
        return self._healthy

    async def _post(self, path: str, query: dict[str, str], data: bytes) -> Any:
        session = self._session
        if session is None:
            raise EngineError("The engine is not running: start it first.")
        reason = ""
        deadline = asyncio.get_running_loop().time() + self.timeout
        for pause in (*_PAUSES, None):
            left = deadline - asyncio.get_running_loop().time()
            try:
                async with session.post(
                    self.url + path,
                    params=query,
                    headers={PICTURE_HEADER: picture_id()},
                    data=io.BytesIO(data),
                    timeout=aiohttp.ClientTimeout(total=max(left, 0.01), connect=10),
                ) as response:
                    body = await response.read()
                    return self._read(response.status, body)
            except EngineError:
                raise
            except _NoAnswerError as error:
                reason = str(error)
            except aiohttp.ConnectionTimeoutError:
                reason = "no connection"
            except TimeoutError as error:
                raise PictureTimeout(
                    f"The inference service did not answer within {self.timeout:g} seconds: try again later."
                ) from error
            except (aiohttp.ClientError, RuntimeError) as error:  # the latter of a session that was closed
                if session.closed:
                    raise EngineError("The engine is stopping: send the picture again later.") from error
                reason = str(error) or type(error).__name__
            if pause is None or asyncio.get_running_loop().time() + pause > deadline:
                break
            await asyncio.sleep(pause)
        raise self._unreachable(reason)

    def _get(self, path: str, query: dict[str, str] | None = None) -> Any:
        """A blocking request, for callers that have no event loop."""
        url = f"{self.url}{path}{'?' + urllib.parse.urlencode(query) if query else ''}"
        request = urllib.request.Request(url)  # noqa: S310 - http(s), see __init__
        for name, value in self._headers.items():
            # http.client writes Latin-1 where aiohttp writes UTF-8.
            request.add_unredirected_header(name, value.encode().decode("latin-1"))
        try:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                    return self._read(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    return self._read(error.code, error.read())
        except (OSError, http.client.HTTPException, _NoAnswerError) as error:
            raise self._unreachable(str(error)) from error

    def _read(self, status: int, body: bytes) -> Any:
        """The answer's JSON, or the error that it tells."""
        try:
            answer = json.loads(body)
            if status == http.HTTPStatus.OK:
                return answer
            kind, sentence = answer["error"], str(answer["sentence"])
            if kind == "picture":
                raise PictureError(answer["code"], sentence)
            error = ERRORS[kind][0](sentence)
        except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as wrong:
            # A gateway between, or a service that is just going down or coming up.
            raise _NoAnswerError(f"HTTP status {status}") from wrong
        raise error

    def _unreachable(self, reason: str) -> EngineError:
        return EngineError(f"The inference service {self.url} cannot be reached ({reason}): try again later.")

    def _stranger(self) -> EngineError:
        return EngineError(
            f"{self.url} answers, but not as an inference service of this version does: check ENGINE_URL."
        )

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH)
            await self._look()

    async def _look(self) -> None:
        if self._session is None:
            return
        healthy = False
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            limit = aiohttp.ClientTimeout(total=5)
            async with self._session.get(f"{self.url}/healthz", timeout=limit) as response:
                healthy = response.status == http.HTTPStatus.OK
        self._healthy = healthy
        if healthy != self._told:
            self._told = healthy
            if healthy:
                logger.info("The inference service %s is ready", self.url)
            else:
                logger.warning("The inference service %s cannot be reached, or is not ready", self.url)


def _without_user_info(url: str) -> tuple[str, str | None]:
    """The address that may be shown, and what goes into ``Authorization`` instead. Raises ValueError."""
    # Of the address itself nothing is repeated: where it is misspelt, its password may stand anywhere.
    wrong = ValueError("This is no address of an inference service: write it as http://HOST:PORT.")
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise wrong
        _ = parts.port
    except ValueError:
        raise wrong from None
    user_info, _, host = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=host).geturl().rstrip("/")
    if not user_info:
        return shown, None
    user, _, password = user_info.partition(":")
    pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"
    return shown, f"Basic {base64.b64encode(pair.encode()).decode()}"


class _NoAnswerError(Exception):
    """Something answered, but it was not the service."""

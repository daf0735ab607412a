"""Models that a server of OpenAI's protocol runs: its settings, and what it says of a model.

vLLM, SGLang, llama.cpp, Ollama, OpenVINO Model Server, ``transformers serve`` and hosted services are such
servers. The official client asks them. It is imported on demand: it takes half a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inference.checkpoints.card import Card
from inference.checkpoints.names import ServedModel
from inference.checkpoints.prompts import Prompts
from inference.common import settings_file
from inference.common.types import EngineBusy, EngineError, ModelNotLoaded, PictureTimeout, UnknownModel

__all__ = ["CARD", "ServerSettings", "checkpoint", "sentences"]

logger = logging.getLogger(__name__)

CARD = Card(
    "A vision language model on a server of OpenAI's protocol, with the words that our reader found.",
    talks=True,
)

_PREFIX = "OPENAI_"
_KEPT = 60.0  # seconds that what a server says of its models is believed
_AGAIN = 3.0  # seconds in which one that did not answer is not asked again
_PATIENCE = 10.0  # seconds for that question
_NOW = 60.0  # seconds: a model that was "created" within them of its listing was not, its entry was
# What tells one model from another in an entry of /v1/models; the rest changes by itself.
_TELLING = ("id", "root", "parent", "version", "digest")
_TELLS_MORE = {401, 403, 429, 503}  # statuses of a server that would not run a model either
_SAID = 200  # characters of what a server says that are repeated


class ServerSettings(BaseSettings):
    """The server of the models ``openai:NAME``. Names in the environment: ``OPENAI_`` and the field's."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=settings_file.FILE,
        env_file_encoding=settings_file.ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    base_url: str = ""  # for example http://gpu-box:8000/v1; "": there is none
    api_key: SecretStr | None = None  # None: it wants none
    timeout: float = Field(default=120.0, gt=0)  # seconds for one picture, all tries included
    concurrency: int = Field(default=4, ge=1)  # pictures that the server has at once
    picture_size: int = Field(default=1024, ge=64)  # pixels of the longer side of what is sent
    max_tokens: int = Field(default=1000, ge=1)  # of an answer, its thinking included
    extra_body: str = ""  # a JSON object: what this server wants in a request besides
    models: Annotated[tuple[str, ...], NoDecode] = ()  # names that /model offers

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("it must start with http:// or https://, and go on with a host")
        if "@" in parts.netloc:
            raise ValueError("it may hold no password: put it into OPENAI_API_KEY")
        return value.rstrip("/")

    @field_validator("extra_body")
    @classmethod
    def _object(cls, value: str) -> str:
        try:
            found = json.loads(value or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError('it must be a JSON object, for example {"top_k": 20}')
        return value

    @field_validator("models", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @classmethod
    def of(cls) -> Self:
        """From the environment and ``.env``. Raises UnknownModel, one sentence with what to correct."""
        try:
            return cls()
        except ValidationError as error:
            wrong = (
                f"{_PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg'].removeprefix('Value error, ')}"
                for problem in error.errors(include_input=False, include_url=False)
            )
            # `from None`: pydantic's own text may show a key.
            raise UnknownModel(f"Correct these settings (see .env.example): {'; '.join(wrong)}.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UnknownModel(settings_file.reading_failed(error)) from None

    @property
    def host(self) -> str:
        """HOST:PORT of the server."""
        return urlsplit(self.base_url).netloc

    @property
    def elsewhere(self) -> str | None:
        """The same where it is another machine than this one."""
        name = urlsplit(self.base_url).hostname or ""
        try:
            here = ip_address(name).is_loopback
        except ValueError:
            here = name == "localhost"
        return None if here else self.host

    @property
    def key(self) -> str:
        """What the client is to send; servers that want no key ignore it."""
        return (self.api_key.get_secret_value() if self.api_key else "") or "none"

    @property
    def extra(self) -> dict[str, Any]:
        """See ``extra_body``."""
        found: dict[str, Any] = json.loads(self.extra_body or "{}")
        return found


def checkpoint(model: ServedModel) -> str:
    """What the captions depend on, 64 hexadecimal digits: what the server calls the model and says of its
    version, what is asked of it, and our prompts.

    Blocks for :data:`_PATIENCE` seconds at most, and seldom: an answer is kept for a minute, and for longer
    while the server is away. Raises UnknownModel where no server is named, ModelNotLoaded where it does not
    answer, EngineError.
    """
    settings, prompts = ServerSettings.of(), Prompts.of()
    if not settings.base_url:
        raise UnknownModel(
            f"The model {model.name} is run by a server: set OPENAI_BASE_URL to its address, "
            "for example http://127.0.0.1:8000/v1."
        )
    asked = [settings.picture_size, settings.max_tokens, settings.extra, prompts.hash]
    told = json.dumps([_server(settings).entry(model), asked], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


class _Server:
    """What one server says of its models, asked seldom."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, Any]] | None = None
        self._next = 0.0  # time.monotonic() from which it is asked again
        self._error: EngineError | None = None

    def entry(self, model: ServedModel) -> dict[str, Any]:
        """What tells this model from others. Raises EngineError."""
        with self._lock:
            if time.monotonic() >= self._next:
                self._ask(model)
            if self._entries is None:
                raise self._error or ModelNotLoaded(f"{self._settings.host} said nothing.")
            # Some list only their own spelling of a name: Ollama's "llava" is "llava:latest".
            found = self._entries.get(model.served) or self._entries.get(f"{model.served}:latest")
            return found or {"id": model.served}

    def _ask(self, model: ServedModel) -> None:
        import openai  # noqa: PLC0415 - see above

        settings = self._settings
        try:
            with (
                sentences(settings, model),
                openai.OpenAI(
                    base_url=settings.base_url, api_key=settings.key, timeout=_PATIENCE, max_retries=0
                ) as client,
            ):
                listed = _entries(client)
            self._entries = (self._entries or {}) if listed is None else listed
            self._next = time.monotonic() + _KEPT
        except EngineError as error:
            if isinstance(error, PictureTimeout):  # there was no picture yet
                sentence = (
                    f"The server {settings.host} does not answer: start it, or correct OPENAI_BASE_URL."
                )
                error = ModelNotLoaded(sentence)
            self._error, self._next = error, time.monotonic() + _AGAIN
            if self._entries is not None:
                logger.warning("%s", error)


@lru_cache(maxsize=4)
def _server(settings: ServerSettings) -> _Server:
    return _Server(settings)


def _entries(client: Any) -> dict[str, dict[str, Any]] | None:
    """By the server's names of its models, what tells each from others; None: it lists none, which need not
    keep it from running them.
    """
    import openai  # noqa: PLC0415

    try:
        answer = client.models.with_raw_response.list()
        listed = json.loads(answer.text)["data"]
        asked = _moment(answer.headers.get("date"))
        return {str(entry["id"]): _told(entry, asked) for entry in listed}
    except (ValueError, KeyError, TypeError):
        return None
    except openai.APIStatusError as error:
        if error.status_code in _TELLS_MORE:
            raise
        return None


def _told(entry: dict[str, Any], asked: float) -> dict[str, Any]:
    told = {name: entry[name] for name in _TELLING if entry.get(name) is not None}
    created = entry.get("created")
    # vLLM and llama.cpp put the moment there at which they were asked.
    if isinstance(created, (int, float)) and abs(asked - created) > _NOW:
        told["created"] = created
    return told


def _moment(date: str | None) -> float:
    """By the server's clock, as far as it tells."""
    with contextlib.suppress(TypeError, ValueError):
        return parsedate_to_datetime(date or "").timestamp()
    return time.time()


@contextlib.contextmanager
def sentences(settings: ServerSettings, model: ServedModel) -> Iterator[None]:
    """Makes sentences of what the official client raises. None repeats the key."""
    import openai  # noqa: PLC0415

    server = f"The server {settings.host}"
    try:
        yield
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise ModelNotLoaded(
            f"{server} refuses the key (status {error.status_code}): correct OPENAI_API_KEY."
        ) from None
    except openai.NotFoundError:
        raise ModelNotLoaded(
            f"{server} knows no model named {model.served}, or nothing is at this address: "
            "choose one that it runs, or correct OPENAI_BASE_URL."
        ) from None
    except openai.APITimeoutError:
        raise PictureTimeout(
            f"{server} did not answer in time: try again later, or raise OPENAI_TIMEOUT."
        ) from None
    except openai.APIConnectionError as error:
        reason = str(error.__cause__ or "") or "no connection"
        raise ModelNotLoaded(
            f"{server} cannot be reached ({_hidden(reason, settings)}): start it, or correct OPENAI_BASE_URL."
        ) from None
    except openai.APIStatusError as error:
        if error.status_code in {429, 503}:
            raise EngineBusy(
                f"{server} has too much to do (status {error.status_code}): "
                "try again later, or lower OPENAI_CONCURRENCY."
            ) from None
        said = _hidden(" ".join(str(error.message).split()), settings)[:_SAID].rstrip(".")
        if error.status_code >= 500:
            raise EngineError(f"{server} failed ({said}): see its log, or try again later.") from None
        raise EngineError(
            f"{server} does not take the request ({said}): see OPENAI_EXTRA_BODY and "
            "OPENAI_PICTURE_SIZE, or choose a model that looks at pictures."
        ) from None
    except openai.OpenAIError as error:
        said = _hidden(" ".join(str(error).split()), settings)[:_SAID].rstrip(".")
        raise EngineError(f"{server} gave no answer that can be used ({said}): see its log.") from None


def _hidden(text: str, settings: ServerSettings) -> str:
    return text.replace(settings.key, "…") if settings.api_key else text

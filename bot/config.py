"""Every knob of the bot, typed: read from the environment and from ``.env`` (see ``.env.example``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.common.accounts import SERVICE_ACCOUNTS, is_person
from inference.common import settings_file
from inference.common.errors import UserError
from inference.common.logs import LogFormat, secrets_in_address
from inference.common.types import QUESTION_LENGTH
from inference.serving.engine import EngineSettings

_MOST_MB = 2**20  # a terabyte; of infinity no number of bytes is made
TOKEN_PATTERN = re.compile(r"\d+:[A-Za-z0-9_-]+")


class OperatorError(UserError):
    """The bot cannot run as it is set up; ``str()`` tells the operator what is wrong and what to do."""


class Settings(BaseSettings):
    """Settings of one bot process. Names in the environment are the field names in capitals."""

    model_config = SettingsConfigDict(
        env_file=settings_file.FILE,
        env_file_encoding=settings_file.ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    # Telegram
    bot_token: SecretStr | None = None  # None: the project's own stand-in of the Bot API is started instead
    bot_api_url: str = "https://api.telegram.org"
    bot_api_local: bool = False  # the server runs with --local: it hands out paths of this machine's disk
    drop_pending_updates: bool = False
    webhook_url: str | None = None  # None: long polling
    webhook_secret: SecretStr | None = None
    webhook_host: str = "127.0.0.1"
    webhook_port: int = Field(default=8081, ge=0, le=65535)
    bot_replicas: int = Field(default=1, ge=1, le=30)  # processes with this token, which share its limits
    admin_ids: Annotated[frozenset[int], NoDecode] = frozenset()
    language: Literal["ru", "en"] = "ru"

    # The store
    database_url: str = "sqlite+aiosqlite:///data/bot.db"
    data_dir: Path = Path("data")
    keep_pictures_days: int = Field(default=0, ge=0, le=36500)  # 0: for ever, as of the next one
    keep_texts_days: int = Field(default=0, ge=0, le=36500)

    # Inference
    model: str = Field(default="meme-small", max_length=128)  # as long as the store can hold
    engine_url: str | None = None  # None: a worker process of the bot's own
    engine_api_key: SecretStr | None = None  # one of the service's SERVE_API_KEYS
    models_dir: Path = Path("checkpoints")
    loaded_models: int = Field(default=2, ge=1)  # in memory at once
    compare_with: str | None = Field(default=None, max_length=128)  # the second model of /compare
    ab_model: str | None = Field(default=None, max_length=128)  # on trial, for people who chose none
    ab_share: float = Field(default=0.5, ge=0, le=1)  # of these people
    ab_salt: str = ""  # another one deals people anew
    queue_size: int = Field(default=64, ge=1)  # pictures at the engine, waiting and in work
    batch_size: int = Field(default=4, ge=1)
    picture_timeout: float = Field(default=60.0, gt=0)  # seconds for one picture
    inference_threads: int | None = Field(default=None, ge=1)  # None: as many as it may use processors
    captioner: str = "inference.captioners.captioner:load_captioner"

    # Limits
    max_file_mb: float = Field(default=20, gt=0, le=_MOST_MB)  # Telegram's own servers hand out at most 20
    # Of fetched files at once, waiting and in work.
    picture_memory_mb: float = Field(default=128, gt=0, le=_MOST_MB)
    per_user_limit: int = Field(default=2, ge=1)  # pictures of one person in work at once
    per_user_queue: int = Field(default=100, ge=1)  # pictures of one person waiting or in work
    pictures_a_day_person: int = Field(default=0, ge=0)  # 0: no limit, as of the next two
    pictures_a_day_group: int = Field(default=0, ge=0)
    pictures_a_day: int = Field(default=0, ge=0)  # of everybody together
    queue_notice: int = Field(default=8, ge=1)  # from how many pictures ahead the place in the queue is told
    question_length: int = Field(default=500, ge=1, le=QUESTION_LENGTH)  # characters of one question
    questions_per_picture: int = Field(default=20, ge=1)  # of one person about one picture
    drain_seconds: float = Field(default=8.0, ge=0)  # for work in flight on SIGTERM; Docker kills after 10

    # Operation
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: LogFormat = "text"
    sentry_dsn: SecretStr | None = None  # None: errors are told in the log alone
    health_host: str = "127.0.0.1"
    health_port: int = Field(default=0, ge=0, le=65535)  # 0: no health endpoint
    operator_password: SecretStr | None = Field(default=None, min_length=12)  # None: no page for the operator
    operator_host: str = "127.0.0.1"
    operator_port: int = Field(default=8083, ge=0, le=65535)  # 0: any free one
    sandbox_host: str = "127.0.0.1"
    sandbox_port: int = Field(default=8080, ge=0, le=65535)  # 0: any free one

    @field_validator("bot_token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        token = value.get_secret_value().strip()
        if not TOKEN_PATTERN.fullmatch(token):
            # The value itself stays out of the sentence: it may be a real token with a slip in it.
            raise ValueError("it must look like 123456:ABC-DEF, as @BotFather gave it")
        return SecretStr(token)

    @field_validator("bot_api_url", "engine_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        # Of urllib's own sentences some repeat a part of the address, which may hold a password.
        if value is not None and not _is_web_address(value):
            raise ValueError("it must start with http:// or https://, and go on with a host")
        return value.rstrip("/") if value is not None else None

    @field_validator("webhook_url")
    @classmethod
    def _public(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https://\S+$|http://(localhost|127\.0\.0\.1)[:/]\S*$", value):
            raise ValueError("it must start with https://, which is all that Telegram posts to")
        return value

    @model_validator(mode="after")
    def _secret(self) -> Self:
        secret = self.webhook_secret.get_secret_value() if self.webhook_secret else ""
        if self.webhook_url is not None and not re.fullmatch(r"[A-Za-z0-9_-]{16,256}", secret):
            raise ValueError(
                "WEBHOOK_SECRET must be set where WEBHOOK_URL is, or else anybody could post updates: "
                "16 to 256 letters, digits, _ and -"
            )
        return self

    @field_validator("admin_ids", mode="before")
    @classmethod
    def _ids(cls, value: Any) -> Any:
        if isinstance(value, str):
            parts = [part for part in re.split(r"[,\s]+", value) if part]
            if not all(re.fullmatch(r"-?\d+", part) for part in parts):
                raise ValueError("it must be Telegram ids, numbers separated by commas")
            return frozenset(parts)
        return value

    @field_validator("admin_ids")
    @classmethod
    def _people(cls, value: frozenset[int]) -> frozenset[int]:
        for number in sorted(value):
            if not is_person(number):
                who = SERVICE_ACCOUNTS.get(number, "a chat, not a person")
                raise ValueError(
                    f"{number} is {who}: whoever that is could export everything; "
                    "name the operators by the ids of their own accounts"
                )
        return value

    @field_validator("log_level", "log_format", "language", mode="before")
    @classmethod
    def _case(cls, value: Any, info: Any) -> Any:
        if isinstance(value, str):
            return value.upper() if info.field_name == "log_level" else value.lower()
        return value

    @property
    def max_file_bytes(self) -> int:
        """The largest file that is fetched, in bytes."""
        return int(self.max_file_mb * 1024 * 1024)

    @property
    def picture_memory_bytes(self) -> int:
        """How many bytes of fetched files are in memory at once."""
        return int(self.picture_memory_mb * 1024 * 1024)

    @property
    def engine(self) -> EngineSettings:
        """What the inference engine is to be started with."""
        return EngineSettings(
            model=self.model,
            models_dir=self.models_dir,
            queue_size=self.queue_size,
            batch_size=self.batch_size,
            picture_timeout=self.picture_timeout,
            threads=self.inference_threads,
            loaded_models=self.loaded_models,
            captioner=self.captioner,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never reach a log: every secret, and the password inside any address."""
        found: list[str] = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                found += (value.get_secret_value(), *secrets_in_address(value.get_secret_value()))
            elif isinstance(value, str):
                found += secrets_in_address(value)
        return tuple(found)


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(re.match(r"https?://\S+$", text) and parts.hostname and parts.port != 0)
    except ValueError:
        return False


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment and ``.env``; ``overrides`` win.

    Raises :class:`OperatorError` with one sentence for each setting that cannot be used.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        sentences = []
        for problem in error.errors(include_input=False, include_url=False):
            name = f"{problem['loc'][0]}: ".upper() if problem["loc"] else ""
            sentences.append(f"{name}{problem['msg'].removeprefix('Value error, ')}.")
        sentences += doubts()  # what is missing may be there under a misspelt name
        # `from None`: pydantic's own text shows the values, a token among them.
        raise OperatorError("Correct these settings (see .env.example). " + " ".join(sentences)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(settings_file.reading_failed(error)) from None


def doubts() -> list[str]:
    """A sentence for each line of ``.env`` that was to set something and does not."""
    return list(settings_file.doubts({*settings_file.NAMES, *map(str.upper, Settings.model_fields)}))

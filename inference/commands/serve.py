"""``python -m inference serve``: captions over HTTP, for a bot on another machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final, TypeVar

import typer
from aiohttp import web

from inference.commands.common import (
    DEFAULTS,
    BatchSize,
    CaptionerName,
    ModelsDir,
    PictureSeconds,
    Threads,
)
from inference.common import settings_file
from inference.common.logs import LogFormat, setup_logging
from inference.common.types import EngineError
from inference.serving.access import Access, is_loopback
from inference.serving.engine import Engine, EngineSettings
from inference.serving.serve import http_app, run_on_ray

logger = logging.getLogger(__name__)

LEVELS: Final = ("INFO", "DEBUG", "WARNING", "ERROR")
FORMATS: Final[Sequence[LogFormat]] = ("text", "json")
_Word = TypeVar("_Word", bound=str)


def serve(  # noqa: PLR0917 - Typer passes everything by name
    host: Annotated[
        str, typer.Option(help="Where to listen. 0.0.0.0: for other machines too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8100,
    model: Annotated[str, typer.Option(envvar="MODEL", help="Used where a request names none.")] = (
        DEFAULTS.model
    ),
    models_dir: ModelsDir = DEFAULTS.models_dir,
    batch_size: BatchSize = DEFAULTS.batch_size,
    queue_size: Annotated[
        int, typer.Option(envvar="QUEUE_SIZE", min=1, help="Pictures waiting and in work; more are refused.")
    ] = DEFAULTS.queue_size,
    threads: Threads = None,
    timeout: PictureSeconds = DEFAULTS.picture_timeout,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Deploy on the Ray cluster at this address ('auto': the one that this machine is in; "
            "'local': a new one of this machine alone).",
        ),
    ] = None,
    replicas: Annotated[
        int, typer.Option(min=1, help="Engines on the Ray cluster, each with the model in memory.")
    ] = 1,
    captioner: CaptionerName = DEFAULTS.captioner,
) -> None:
    """Describe pictures for other programs.

    A bot whose ENGINE_URL names this server runs no model of its own. Whoever has one of SERVE_API_KEYS
    (separated by commas, in the environment or in .env) may use it. Without keys everybody who can reach the
    port may, except pages of other sites, under this machine's addresses and names and those of SERVE_HOSTS.
    LOG_LEVEL and LOG_FORMAT, from the same places, are those of the bot.
    """
    keys = _listed("SERVE_API_KEYS")
    log = partial(setup_logging, _chosen("LOG_LEVEL", LEVELS), log_format=_chosen("LOG_FORMAT", FORMATS))
    log(keys)
    for doubt in settings_file.doubts(settings_file.NAMES):
        logger.warning("%s", doubt)
    settings = EngineSettings(
        model=model,
        models_dir=models_dir,
        batch_size=batch_size,
        queue_size=queue_size,
        picture_timeout=timeout,
        threads=threads,
        captioner=captioner,
    )
    access = Access.of(host, keys=keys, hosts=_listed("SERVE_HOSTS"))
    if not access.keys and not is_loopback(host):
        logger.warning(
            "Everybody who can reach port %d of this machine can use this service: set SERVE_API_KEYS, or "
            "keep it in a network that you trust.",
            port,
        )
    try:
        if ray is None:
            Engine(settings).checkpoint()  # what is missing is said before the port is opened
            app = http_app(settings, access)
            # Who hangs up waits for nothing any more: nor does a server that their picture was passed on to.
            web.run_app(app, host=host, port=port, print=_say, handler_cancellation=True)
        else:
            run_on_ray(settings, access, log, address=ray, host=host, port=port, replicas=replicas)
    except EngineError as error:
        _give_up(str(error), error)
    except (OSError, ConnectionError) as error:
        _give_up(f"The server cannot be started ({error}): choose another --host, --port or --ray.", error)


def _setting(name: str) -> str:
    """From the environment or from .env; "": it is not set."""
    try:
        return ({**settings_file.written(), **os.environ}.get(name) or "").strip()
    except settings_file.SettingsFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _listed(name: str) -> list[str]:
    """What a setting lists."""
    # No option of the command line: every user of the machine reads those.
    return [part.strip() for part in _setting(name).split(",") if part.strip()]


def _chosen(name: str, words: Sequence[_Word]) -> _Word:
    """Which of these words a setting is; the first one where it is not set."""
    said = _setting(name) or words[0]
    for word in words:
        if word.lower() == said.lower():
            return word
    typer.echo(f"{name} is {said!r}: set it to one of {', '.join(words)}.", err=True)
    raise typer.Exit(2)


def _give_up(sentence: str, error: Exception) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(2) from error


def _say(text: str) -> None:
    # aiohttp says where it listens, and more; the address is what people and programs wait for.
    for line in text.splitlines():
        if "Running on" in line:
            typer.echo(line.strip("= "))

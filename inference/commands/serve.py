"""``python -m inference serve``: captions over HTTP, for a bot on another machine."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer
from aiohttp import web

from inference.commands.common import DEFAULTS, ModelsDir
from inference.engine import Engine, EngineSettings
from inference.serve import http_app, run_on_ray
from inference.types import EngineError


def serve(  # noqa: PLR0917 - Typer passes everything by name
    host: Annotated[
        str, typer.Option(help="Where to listen. 0.0.0.0: for other machines too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8100,
    model: Annotated[str, typer.Option(envvar="MODEL", help="Used where a request names none.")] = (
        DEFAULTS.model
    ),
    models_dir: ModelsDir = DEFAULTS.models_dir,
    batch_size: Annotated[
        int, typer.Option(envvar="BATCH_SIZE", min=1, help="Pictures that go through the model together.")
    ] = DEFAULTS.batch_size,
    queue_size: Annotated[
        int, typer.Option(envvar="QUEUE_SIZE", min=1, help="Pictures waiting and in work; more are refused.")
    ] = DEFAULTS.queue_size,
    threads: Annotated[
        int | None, typer.Option(envvar="INFERENCE_THREADS", min=1, help="Of the processor; not given: all.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(envvar="PICTURE_TIMEOUT", min=0.1, help="Seconds a picture may take.")
    ] = DEFAULTS.picture_timeout,
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
    captioner: Annotated[str, typer.Option(envvar="CAPTIONER", hidden=True)] = DEFAULTS.captioner,
) -> None:
    """Describe pictures for other programs.

    A bot whose ENGINE_URL names this server runs no model of its own. Anybody who can reach the port can use
    it: keep it in a network you trust.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    settings = EngineSettings(
        model=model,
        models_dir=models_dir,
        batch_size=batch_size,
        queue_size=queue_size,
        picture_timeout=timeout,
        threads=threads,
        captioner=captioner,
    )
    try:
        if ray is None:
            Engine(settings).checkpoint()  # what is missing is said before the port is opened
            web.run_app(http_app(settings), host=host, port=port, print=_say)
        else:
            run_on_ray(settings, address=ray, host=host, port=port, replicas=replicas)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"ray", "starlette"}:
            raise
        _give_up("Ray is not installed: run  pip install -c constraints.txt -e '.[serve]'  first.", error)
    except EngineError as error:
        _give_up(str(error), error)
    except (OSError, ConnectionError) as error:
        _give_up(f"The server cannot be started ({error}): choose another --host, --port or --ray.", error)


def _give_up(sentence: str, error: Exception) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(2) from error


def _say(text: str) -> None:
    # aiohttp says where it listens, and more; the address is what people and programs wait for.
    for line in text.splitlines():
        if "Running on" in line:
            typer.echo(line.strip("= "))

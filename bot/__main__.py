"""``python -m bot``: run the bot or its stand-in of Telegram, and look after what it has collected."""

from __future__ import annotations

import asyncio
import enum
import gc
import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.common import loops
from bot.common.telegram_types import import_aiogram
from bot.config import OperatorError, Settings, doubts, load_settings
from inference.common.file_names import forgive
from inference.common.logs import Redactor, setup_logging
from inference.common.types import EngineError
from inference.serving.engine import Engine

if TYPE_CHECKING:
    from inference.serving.remote import RemoteEngine

logger = logging.getLogger("bot")

# No locals in tracebacks: they hold the token.
cli = typer.Typer(
    help="Run the bot or its stand-in of Telegram, and look after what it has collected.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    callback=forgive,
)


class Format(enum.StrEnum):
    """What `export` writes."""

    imagefolder = "imagefolder"
    csv = "csv"
    parquet = "parquet"


# Knows every secret as soon as the settings are read; before that there is none to be told.
_redact = Redactor()


def _settings(**overrides: object) -> Settings:
    """The settings; from here on no log and no error tells a secret."""
    global _redact  # noqa: PLW0603 - of one process
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = load_settings(**given)
    except OperatorError as error:
        raise _exit(error) from None
    _redact = setup_logging(settings.log_level, settings.secrets, log_format=settings.log_format)
    for doubt in doubts():
        logger.warning("%s", doubt)
    return settings


def _exit(error: Exception) -> typer.Exit:
    typer.echo(_redact(str(error)), err=True)
    return typer.Exit(1)


@cli.command()
def run(
    delete_webhook: Annotated[
        bool, typer.Option(help="First remove a webhook that is set for this token.")
    ] = False,
) -> None:
    """Run the bot; without BOT_TOKEN against the stand-in of Telegram, with a chat page in the browser."""
    settings = _settings()
    try:
        with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
            runner.run(_run(settings, _redact, delete_webhook))
    except (OperatorError, EngineError, OSError) as error:
        raise _exit(error) from None


def _engine(settings: Settings) -> Engine | RemoteEngine:
    if settings.engine_url is None:
        return Engine(settings.engine)
    from inference.serving.remote import RemoteEngine  # noqa: PLC0415 - aiohttp takes time to import

    key = settings.engine_api_key
    return RemoteEngine(
        settings.engine_url, model=settings.model, api_key=None if key is None else key.get_secret_value()
    )


async def _run(settings: Settings, redact: Redactor, delete_webhook: bool) -> None:
    async with _engine(settings) as engine:
        # The worker loads its model meanwhile: importing takes as long.
        await asyncio.to_thread(import_app)
        from bot import app  # noqa: PLC0415
        from bot.feedback.database import StoreError  # noqa: PLC0415

        try:
            await app.run(settings, engine, redact, delete_webhook=delete_webhook)
        except StoreError as error:
            raise OperatorError(str(error)) from error


def import_app() -> None:
    """What :func:`run` needs, the slow part of a start."""
    gc.disable()  # all of it stays: to look for what does not takes a tenth of the time
    try:
        import_aiogram()
        importlib.import_module("bot.app")
    finally:
        gc.freeze()  # nor is it looked at later, again and again
        gc.enable()


@cli.command()
def sandbox(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default SANDBOX_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default SANDBOX_PORT.")] = None,
) -> None:
    """Run only the stand-in of the Telegram Bot API with its chat page, for any bot."""
    from bot.sandbox.server import Sandbox  # noqa: PLC0415

    settings = _settings(sandbox_host=host, sandbox_port=port)

    async def serve() -> None:
        server = Sandbox(settings.sandbox_host, settings.sandbox_port)
        await server.start()
        typer.echo(f"Chat page: {server.url}")
        typer.echo(f"BOT_API_URL={server.url} BOT_TOKEN={server.token}")
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise _exit(error) from None


@cli.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    format: Annotated[Format, typer.Option(help="What the data is written as.")] = Format.imagefolder,
    since: Annotated[str | None, typer.Option(help="Only feedback from this date on (2025-01-31).")] = None,
    min_rating: Annotated[
        int | None, typer.Option(min=1, max=5, help="Only captions with at least this mark.")
    ] = None,
) -> None:
    """Write the collected feedback for training."""
    from bot.feedback.commands import run_export  # noqa: PLC0415
    from bot.feedback.database import StoreError  # noqa: PLC0415
    from bot.feedback.retention import Keep  # noqa: PLC0415

    settings = _settings()
    try:
        text = run_export(
            settings.database_url,
            settings.data_dir,
            out,
            format=format.value,
            since=since,
            min_rating=min_rating,
            keep=Keep(settings.keep_pictures_days, settings.keep_texts_days),
        )
    except StoreError as error:
        raise _exit(error) from None
    typer.echo(text)


@cli.command()
def stats(
    days: Annotated[
        int,
        typer.Option(min=0, max=3660, help="Also what happened on each of so many days, and the failures."),
    ] = 0,
    worst: Annotated[
        int, typer.Option(min=0, max=1000, help="Also so many descriptions with low marks, of pictures kept.")
    ] = 0,
) -> None:
    """Print how many pictures, marks and corrections there are, for each model."""
    from bot.feedback.commands import run_stats  # noqa: PLC0415
    from bot.feedback.database import StoreError  # noqa: PLC0415

    settings = _settings()
    try:
        typer.echo(run_stats(settings.database_url, settings.data_dir, days=days, worst=worst))
    except StoreError as error:
        raise _exit(error) from None


@cli.command()
def erase(
    telegram_id: Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="The person's Telegram number.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Erase everything that is kept about a person."""
    from bot.feedback.commands import run_erase  # noqa: PLC0415
    from bot.feedback.database import StoreError  # noqa: PLC0415

    settings = _settings()
    if not yes:
        typer.confirm(f"Erase everything about the person {telegram_id}?", abort=True)
    try:
        typer.echo(run_erase(settings.database_url, settings.data_dir, telegram_id))
    except StoreError as error:
        raise _exit(error) from None


# A group's number begins with a minus, and is no option.
_NUMBERS = {"ignore_unknown_options": True}


@cli.command(context_settings=_NUMBERS)
def mute(
    number: Annotated[
        str | None, typer.Argument(help="Telegram id of a person or a group; none: list who is muted.")
    ] = None,
) -> None:
    """Answer a person or a group no more, but for /privacy and /forget."""
    from bot.feedback.commands import run_mute  # noqa: PLC0415
    from bot.feedback.database import StoreError  # noqa: PLC0415

    settings = _settings()
    try:
        typer.echo(run_mute(settings.database_url, settings.data_dir, number))
    except StoreError as error:
        raise _exit(error) from None


@cli.command(context_settings=_NUMBERS)
def unmute(number: Annotated[str, typer.Argument(help="Telegram id of a person or a group.")]) -> None:
    """Answer a person or a group again."""
    from bot.feedback.commands import run_unmute  # noqa: PLC0415
    from bot.feedback.database import StoreError  # noqa: PLC0415

    settings = _settings()
    try:
        typer.echo(run_unmute(settings.database_url, settings.data_dir, number))
    except StoreError as error:
        raise _exit(error) from None


@cli.command()
def backup(
    out: Annotated[Path, typer.Option(help="The file to write; it appears when it is whole.")],
) -> None:
    """Write the database and the kept pictures as one file, also while the bot works (SQLite)."""
    from bot.feedback.backup.commands import run_backup  # noqa: PLC0415
    from bot.feedback.database import StoreError  # noqa: PLC0415

    settings = _settings()
    try:
        typer.echo(run_backup(settings.database_url, settings.data_dir, out, _progress))
    except StoreError as error:
        raise _exit(error) from None


_Erased = Annotated[
    Path | None, typer.Option(help="erased.jsonl of the newest export: what was erased since stays erased.")
]


@cli.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    force: Annotated[bool, typer.Option(help="Keep a store that is there aside, and restore.")] = False,
    erased: _Erased = None,
) -> None:
    """Put a backup in the place of the store, while no bot works with it (SQLite)."""
    from bot.feedback.backup.commands import run_restore  # noqa: PLC0415
    from bot.feedback.database import StoreError  # noqa: PLC0415

    settings = _settings()
    try:
        typer.echo(
            run_restore(settings.database_url, settings.data_dir, file, _progress, force=force, erased=erased)
        )
    except StoreError as error:
        raise _exit(error) from None


@cli.command()
def restored(
    erased: _Erased = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """After a restore by other means (pg_restore), before the bot starts: nothing is answered anew."""
    from bot.feedback.backup.commands import run_restored  # noqa: PLC0415
    from bot.feedback.database import StoreError  # noqa: PLC0415

    settings = _settings()
    if not yes:
        typer.confirm(f"Delete pictures in {settings.data_dir} that the database does not name?", abort=True)
    try:
        typer.echo(run_restored(settings.database_url, settings.data_dir, erased=erased))
    except StoreError as error:
        raise _exit(error) from None


def _progress(line: str) -> None:
    typer.echo(line, err=True)


if __name__ == "__main__":
    cli()

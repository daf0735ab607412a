"""The real bot as a process of its own, told of the stand-in by nothing but its documented settings."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bot.sandbox import ME, Sandbox
from inference.checkpoints.folder import is_checkpoint
from tests.bot.forked import Bots, Forked
from tests.inference.fakes import write_checkpoint

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [folder.name for folder in sorted((ROOT / "checkpoints").iterdir()) if is_checkpoint(folder)]
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class BotProcess:
    """``python -m bot`` with its database and folders under `folder`; may be killed and started again.

    ``bots``: who starts it, without importing it anew; None: Python does.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        folder: Path,
        settings: Mapping[str, str],
        started_as: Sequence[str] = ("-m", "bot", "run"),
        bots: Bots | None = None,
    ) -> None:
        self.sandbox = sandbox
        self._started_as = started_as
        self._bots = bots
        self.folder = folder
        self.gate = folder / "gate"  # while it exists, pictures wait inside the worker
        self.begun = folder / "begun.jsonl"  # one line for every picture the worker began
        self.output = folder / "bot.log"
        self.environment = {
            # Nothing of the caller's own settings: only what a program needs to run at all.
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "BOT_TOKEN": sandbox.token,
            "BOT_API_URL": sandbox.url,
            "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/bot.db",
            "DATA_DIR": str(folder / "data"),
            "ADMIN_IDS": str(ME),
            "E2E_LOG": str(self.begun),
            "E2E_GATE": str(self.gate),
            **settings,
        }
        self.process: asyncio.subprocess.Process | Forked | None = None

    async def launch(self) -> asyncio.subprocess.Process | Forked:
        """Start it, and do not wait for anything."""
        if self._bots is not None:
            self.process = self._bots.start(
                "run", environment=self.environment, folder=self.folder, log=self.output
            )
            return self.process
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._started_as,
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        return self.process

    async def start(self) -> None:
        """Start it and wait until it asks for updates, or for their being posted."""
        asking = "setWebhook" if "WEBHOOK_URL" in self.environment else "getUpdates"
        before = len(self.sandbox.calls_of(asking))
        process = await self.launch()
        ended = asyncio.create_task(process.wait())
        ended.add_done_callback(lambda _: self.sandbox.world.changed())
        try:
            await self.sandbox.wait_for(
                lambda: len(self.sandbox.calls_of(asking)) > before or ended.done(), timeout=120
            )
        except TimeoutError as error:
            raise AssertionError(f"the bot does not ask for updates:\n{self.log()}") from error
        if process.returncode is not None:
            raise AssertionError(f"the bot ended at once:\n{self.log()}")

    async def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 60)

    def log(self) -> str:
        """What it has printed so far."""
        return self.output.read_text() if self.output.exists() else ""

    async def command(self, *arguments: str) -> str:
        """What ``python -m bot ARGUMENTS`` prints beside the running bot; fails when the command does."""
        if self._bots is not None:
            log = self.folder / "command.log"
            log.unlink(missing_ok=True)
            started = self._bots.start(*arguments, environment=self.environment, folder=self.folder, log=log)
            status, told = await started.wait(), log.read_text()
            assert status == 0, told
            return told
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *arguments,
            cwd=self.folder,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()
        return printed.decode()


def fake_settings(folder: Path) -> dict[str, str]:
    """Settings for the captioner of ``tests/e2e/fakes.py``."""
    write_checkpoint(folder / "models", "fake")
    return {"MODEL": "fake", "MODELS_DIR": str(folder / "models"), "CAPTIONER": "tests.e2e.fakes:load"}


def default_settings() -> dict[str, str]:
    """Settings for the model that ships."""
    return {"MODELS_DIR": str(ROOT / "checkpoints")}


@asynccontextmanager
async def running(
    sandbox: Sandbox,
    folder: Path,
    settings: Mapping[str, str],
    started_as: Sequence[str] = ("-m", "bot", "run"),
    bots: Bots | None = None,
) -> AsyncIterator[BotProcess]:
    """A bot at work; whatever is left of it is killed in the end."""
    bot = BotProcess(sandbox, folder, settings, started_as, bots)
    try:
        await bot.start()
        yield bot
    finally:
        bot.gate.unlink(missing_ok=True)
        if bot.process and bot.process.returncode is None:
            await bot.kill()

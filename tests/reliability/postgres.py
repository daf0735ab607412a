"""A PostgreSQL server of one's own, from Debian's package, on loopback and in a temporary folder.

``python -m tests.reliability.postgres COMMAND ...`` runs a command that finds its address in
TEST_DATABASE_URL, such as ``python -m pytest tests/bot/feedback tests/bot/test_daily.py``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from inference.common.errors import UserError
from tests.reliability.harness import free_port

_USER = "postgres"  # the server refuses to run as root


class Postgres:
    """One server; it may be stopped and started again."""

    def __init__(self, programs: Path, folder: Path, port: int) -> None:
        self._programs = programs
        self._folder = folder
        self._port = port
        self.url = f"postgresql+asyncpg://{_USER}@127.0.0.1:{port}/postgres"

    async def create(self) -> None:
        """Make the cluster."""
        await self._run("initdb", "--auth=trust", "--encoding=UTF8", "--no-sync")

    async def start(self) -> None:
        """Start, and wait until it can be used."""
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self._port} -c unix_socket_directories={self._folder}"
        )
        await self._run("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", f"--options={options}")

    async def stop(self) -> None:
        """Close every connection and stop."""
        await self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    async def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments, f"--pgdata={self._folder / 'data'}"]
        if os.geteuid() == 0:
            command = ["runuser", "-u", _USER, "--", *command]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self._folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        # What the server inherits stays open: the command's end is waited for, not the end of its output.
        if await process.wait():
            assert process.stderr is not None
            raise UserError(f"{program} failed: {(await process.stderr.read(2000)).decode()}")


def _programs() -> Path:
    """Of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise UserError("There is no PostgreSQL on this machine: install Debian's package postgresql.")
    return found[-1].parent


@asynccontextmanager
async def postgres() -> AsyncIterator[Postgres]:
    """A server that can be used while the block runs. Raises UserError where there is none."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        server = Postgres(programs, folder, free_port())
        await server.create()
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


async def _run(*command: str) -> int:
    async with postgres() as server:
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "TEST_DATABASE_URL": server.url}
        )
        return await process.wait()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(_run(*sys.argv[1:])))
    except UserError as error:
        sys.exit(str(error))

"""``python -m tests.e2e.operator_screenshot OUT.png``: the operator's page of a store with drawn data."""

from __future__ import annotations

import argparse
import asyncio
import socket
import tempfile
from pathlib import Path

from tests.e2e.test_operator import opened


async def take(out: Path, *, dark: bool) -> None:
    """Drive the page and save what it shows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        look = {"color_scheme": "dark" if dark else "light", "device_scale_factor": 1.25}
        async with opened(Path(folder), port, **look) as (page, _):
            await page.set_viewport_size({"width": 1180, "height": 1760})
            await page.wait_for_load_state("networkidle")
            await page.screenshot(path=out)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.operator_screenshot", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    asyncio.run(take(given.out, dark=given.dark))


if __name__ == "__main__":
    main()

"""``python -m tests.reliability.dashboard OUT.png``: the dashboard's panels, drawn from a bot at work.

The real bot with the model that ships describes drawn memes before the stand-in, while a few calls fail and
once its worker is killed. A real Prometheus, with the project's own configuration, scrapes it every second;
it checks the alert rules, and answers what each panel of docs/grafana/meme-bot.json asks. Grafana itself is
not needed. What needs to be there: Debian's package `prometheus`. A run takes some minutes of two processors.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
import yaml

from bot.sandbox import Sandbox
from bot.sandbox.world import Json
from inference.common.errors import UserError
from tests.bot.conftest import replies_to
from tests.docs.pages import ROOT
from tests.drawing import Kind, draw_meme, jpeg_bytes
from tests.e2e.processes import BotProcess, default_settings, running
from tests.reliability.faults import kill_worker
from tests.reliability.harness import FIRST_PERSON, RandomFaults, free_port, until

SCRAPED = 1  # seconds between two scrapes
RATES_OVER = "15s"  # in the place of Grafana's $__rate_interval, which is as many scrapes long
_KINDS: tuple[Kind, ...] = ("caption_bar", "two_frames", "tweet", "photo", "text_only")
_WORDS = ("КОТ", "ПЯТНИЦА", "РАБОТА", "ОБЕД", "СОН", "ВТОРНИК", "КОД", "ТЕСТ", "ЧАЙ", "ОТПУСК")
_PROMETHEUS = ROOT / "docs" / "prometheus"
_UNITS = {"s": (1.0, "s"), "bytes": (1e-6, "MB")}  # by Grafana's name: what to multiply by, and ours

Samples = list[tuple[float, float]]  # when (unix time), and what


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel."""

    legend: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Panel:
    """What stands in one place of the dashboard."""

    title: str
    kind: str  # "stat", "timeseries" or "row"
    unit: str
    place: tuple[int, int, int, int]  # left, top, width, height, in Grafana's grid of 24 columns
    lines: list[Line]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UserError(f"There is no {name} on this machine: install Debian's package prometheus.")
    return found


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise UserError(f"{command[0]} refuses what it is given: {said.decode()}")


@asynccontextmanager
async def prometheus(folder: Path, bot_port: int) -> AsyncIterator[str]:
    """The address of one that scrapes the bot by the project's configuration, whose rules it has checked.

    Raises UserError where there is none, or where it refuses them.
    """
    config = yaml.safe_load((_PROMETHEUS / "prometheus.yaml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{bot_port}"]}]
    config["global"] = {"scrape_interval": f"{SCRAPED}s", "evaluation_interval": f"{SCRAPED}s"}
    config["rule_files"] = [str(_PROMETHEUS / name) for name in config["rule_files"]]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    await _run(_program("promtool"), "check", "config", str(file))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(_program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder / 'series'}"),
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _drawn(number: int) -> bytes:
    """A meme of its own."""
    chance = random.Random(number)
    words = [" ".join(chance.sample(_WORDS, 3)), " ".join(chance.sample(_WORDS, 2))]
    image = await asyncio.to_thread(draw_meme, _KINDS[number % len(_KINDS)], *words, width=480 + number)
    return jpeg_bytes(image)


async def _rate(sandbox: Sandbox, sent: Json, mark: int) -> None:
    """Press a mark under the description of this picture, when it is there."""
    person = sent["chat"]["id"]

    def described() -> Json | None:
        return next((one for one in replies_to(sandbox, sent) if "reply_markup" in one), None)

    answer = await sandbox.wait_for(described)
    for row in answer["reply_markup"]["inline_keyboard"]:
        for button in row:
            if button["text"].startswith(str(mark)):
                sandbox.press(answer["message_id"], button["callback_data"], user=person)
                return


async def work(sandbox: Sandbox, bot: BotProcess, faults: RandomFaults, seconds: float) -> None:
    """People send memes, now fewer and now more, and mark some descriptions; a few things go wrong."""
    loop = asyncio.get_running_loop()
    chance, began, killed = random.Random(1), loop.time(), False
    faults.share = 0.04
    async with asyncio.TaskGroup() as pressing:
        number = 0
        while (passed := loop.time() - began) < seconds:
            many = 1 + math.sin(passed / seconds * 2 * math.pi - math.pi / 2)  # 0..2
            for _ in range(chance.randint(0, 1 + round(many))):
                person = FIRST_PERSON + chance.randrange(20)
                data = b"no picture" if number % 17 == 9 else await _drawn(number)
                sent = await sandbox.send_document(data, f"{number}.jpg", user=person)
                if number % 17 != 9 and chance.random() < 0.5:
                    mark = chance.choices(range(1, 6), (1, 2, 4, 5, 3))[0]
                    pressing.create_task(_rate(sandbox, sent, mark))
                number += 1
            if not killed and passed > seconds * 0.6:
                killed = True
                kill_worker(bot)
            await asyncio.sleep(chance.uniform(1.5, 3.5))
        faults.share = 0.0
        last = FIRST_PERSON + 99
        await sandbox.send_text("/help", user=last)
        await until(lambda: sandbox.messages(last, by_bot=True), 120)


async def asked(session: aiohttp.ClientSession, url: str, begun: float, ended: float) -> list[Panel]:
    """What Prometheus answers to each panel of the dashboard. Raises UserError where it refuses one."""
    board = json.loads((ROOT / "docs" / "grafana" / "meme-bot.json").read_text("utf-8"))
    panels = []
    for panel in board["panels"]:
        lines = []
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", RATES_OVER)
            query = {"query": expression, "start": str(begun), "end": str(ended), "step": str(SCRAPED)}
            async with session.get(f"{url}/api/v1/query_range", params=query) as answer:
                told = await answer.json()
            if told["status"] != "success":
                raise UserError(f"Prometheus refuses {expression}: {told['error']}")
            for series in told["data"]["result"]:
                samples = [(float(at), float(value)) for at, value in series["values"]]
                lines.append(Line(_legend(target.get("legendFormat", ""), series["metric"]), samples))
        place = panel["gridPos"]
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
        panels.append(
            Panel(
                panel["title"], panel["type"], unit, (place["x"], place["y"], place["w"], place["h"]), lines
            )
        )
    return panels


def _legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), template)


def draw(panels: Sequence[Panel], begun: float, out: Path) -> None:
    """All panels where they stand on the dashboard."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    width, height = 24, max(top + high for _, top, _, high in (one.place for one in panels))
    figure = pyplot.figure(figsize=(16, height * 0.34), dpi=90)
    for one in panels:
        left, top, wide, high = one.place
        if one.kind == "row":
            figure.text(0.01, 1 - (top + 0.75) / height, one.title, fontsize=11, weight="bold")
            continue
        margins = (0.9, 1.0, 0.3, 1.4)  # left, above, right, below, of the grid's cells
        axes = figure.add_axes(
            (
                (left + margins[0]) / width,
                1 - (top + high - margins[3]) / height,
                (wide - margins[0] - margins[2]) / width,
                (high - margins[1] - margins[3]) / height,
            )
        )
        axes.set_title(one.title, fontsize=8, loc="left")
        if one.kind == "stat":
            axes.axis("off")
            axes.text(0.5, 0.4, _said(one), ha="center", va="center", fontsize=15, color="#1f6f43")
            continue
        factor, unit = _UNITS.get(one.unit, (1.0, ""))
        for line in one.lines:
            axes.plot(
                [(at - begun) / 60 for at, _ in line.samples],
                [value * factor for _, value in line.samples],
                label=line.legend,
                linewidth=1.2,
            )
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=6)
        axes.set_xlabel("min", fontsize=6, loc="right", labelpad=1)
        axes.set_ylabel(unit, fontsize=6)
        if any(line.legend for line in one.lines):
            axes.legend(fontsize=5, loc="upper left", ncols=2, framealpha=0.6)
    figure.savefig(out, metadata={"Software": None})


def _said(panel: Panel) -> str:
    """The last value of a panel that has one."""
    if not panel.lines:
        return "–"
    value = panel.lines[0].samples[-1][1]
    return f"{value / 1e9:.0f} GB" if panel.unit == "bytes" else f"{value:.2f}".rstrip("0").rstrip(".")


async def take(out: Path, seconds: float, folder: Path) -> list[Panel]:
    """A run, and its picture; the panels."""
    bot_port = free_port()
    async with prometheus(folder, bot_port) as url, Sandbox() as sandbox:
        faults = sandbox.faults = RandomFaults(seed=3)
        settings = default_settings() | {"HEALTH_PORT": str(bot_port)}
        async with running(sandbox, folder, settings) as bot:
            begun = time.time()
            await work(sandbox, bot, faults, seconds)
            await asyncio.sleep(3 * SCRAPED)
            async with aiohttp.ClientSession() as session:
                panels = await asked(session, url, begun, time.time())
                async with session.get(f"{url}/api/v1/rules") as answer:
                    groups = (await answer.json())["data"]["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        if rule["health"] != "ok":
            raise UserError(f"The alert {rule['name']} cannot be evaluated: {rule.get('lastError')}")
    await asyncio.to_thread(draw, panels, begun, out)
    return panels


def main(
    out: Annotated[Path, typer.Argument(help="The picture to write, a PNG.")],
    seconds: Annotated[float, typer.Option(help="For which the bot works.")] = 240.0,
) -> None:
    """The dashboard's panels, drawn from a bot that was at work."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            panels = asyncio.run(take(out, seconds, Path(folder)))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    empty = [one.title for one in panels if one.kind != "row" and not any(line.samples for line in one.lines)]
    print(f"{out}: {len(panels)} panels; without data: {', '.join(empty) or 'none'}.")


if __name__ == "__main__":
    typer.run(main)

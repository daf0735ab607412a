"""What docs/architecture.md says of adding something is done, in a copy of the program, and works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from inference.presets.preset import FOLDER, names
from tests.docs.pages import ROOT, read
from tests.docs.project import environment
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import write_checkpoint

PAGE = "docs/architecture.md"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a copy of `inference` and `bot`, in which commands are run."""
    for package in ("inference", "bot"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(program: Path, *arguments: str) -> str:
    """What `python ARGUMENTS` prints there."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=program,
        env=environment() | {"PYTHONPATH": str(program)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(path: Path, code: str) -> None:
    path.write_text(textwrap.dedent(code), encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


def first_file(what: str) -> str:
    """The file that the page names for adding it."""
    (row,) = re.findall(rf"^\| {re.escape(what)} \| `([^`]+)`", read(PAGE), re.MULTILINE)
    assert isinstance(row, str)
    return row


def test_every_row_names_one_file_that_is_there() -> None:
    table = read(PAGE).partition("## Adding something")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!To add|---)(.*?) \| (.*?) \| (.*?) \|$", table, re.MULTILINE)
    assert len(rows) >= 12
    for what, first, _ in rows:
        (path,) = re.findall(r"^`([\w./]+)`", first)
        assert (ROOT / path.replace("NAME", names()[0])).exists(), what


def test_a_captioner(program: Path) -> None:
    path = program / first_file("a captioner (an architecture)")
    before = "from inference.captioners.meme_small.describer import SlotDescriber\n"
    edit(path, before, f"{before}from inference.captioners.sizes import Sizes\n")
    known = '    "meme-small": SlotDescriber.load,\n'
    edit(path, known, f'{known}    "sizes": Sizes,\n')
    write(
        program / "inference" / "captioners" / "sizes.py",
        """
        class Sizes:
            def __init__(self, folder, config, threads):
                self.unit = config.own["unit"]

            def describe(self, images, readings, options):
                pairs = zip(images, readings, strict=True)
                texts = [f"{len(reading.lines)} строк, {image.width} {self.unit}" for image, reading in pairs]
                return texts, [0.0] * len(texts)
        """,
    )
    write_checkpoint(program / "checkpoints", "mine")
    config = {"architecture": "sizes", "unit": "точек", "encoder": {}, "decoder": {}, "decoding": {}}
    (program / "checkpoints" / "mine" / "config.json").write_text(json.dumps({"format": 2, **config}))
    (program / "meme.jpg").write_bytes(jpeg_bytes(draw_meme("caption_bar", "КОТ ПРОСНУЛСЯ", width=400)))
    said = run(program, "-m", "inference", "caption", "meme.jpg", "--model", "mine")
    assert "1 строк, 400 точек" in said


def test_an_encoder(program: Path) -> None:
    path = program / first_file("an encoder")
    edit(path, '"inference.encoders.cnn",\n', '"inference.encoders.cnn", "inference.encoders.brightness",\n')
    write(
        program / "inference" / "encoders" / "brightness.py",
        """
        from inference.encoders.base import Encoder, register
        from inference.encoders.preprocessing import Preprocessing

        @register("brightness")
        class Brightness(Encoder):
            yields, widths, positions = "global", (3,), 1

            def __init__(self, preprocessing=Preprocessing(size=32)):
                super().__init__()
                self.preprocessing = preprocessing

            def forward(self, pixels):
                return pixels.mean(dim=(2, 3))
        """,
    )
    code = """
        import torch
        from inference.encoders.base import build_encoder
        print(tuple(build_encoder({"kind": "brightness"})(torch.zeros(2, 3, 32, 32)).shape))
    """
    assert run(program, "-c", textwrap.dedent(code)) == "(2, 3)\n"


def test_a_preset(program: Path) -> None:
    mine = program / first_file("a preset").replace("NAME", "mine")
    mine.write_text((FOLDER / "resnet34-lstm.yaml").read_text("utf-8"), encoding="utf-8")
    edit(mine, "ResNet-34, its vector as the first token of a three-layer LSTM.", "A model of mine.")
    listed = run(program, "-m", "inference", "models", "--json")
    told = [json.loads(line) for line in listed.splitlines() if '"mine"' in line]
    assert {row["kind"] for row in told} == {"missing", "preset"}
    assert {row["description"] for row in told} == {"A model of mine."}


def test_a_word(program: Path) -> None:
    code = "from inference.russian.lexicon import is_known; print(is_known('жъ'))"
    assert run(program, "-c", code) == "False\n"
    edit(program / first_file("a word"), '"ну", "на",', '"ну", "жъ", "на",')
    assert run(program, "-c", code) == "True\n"


def test_a_command_of_inference(program: Path) -> None:
    write(
        program / "inference" / "commands" / "hello.py",
        """
        def hello(name: str) -> None:
            \"\"\"Greet somebody.\"\"\"
            print(f"Hello, {name}")
        """,
    )
    path = program / first_file("a command of `python -m inference`")
    before = "from inference.commands.models import models\n"
    edit(path, before, f"from inference.commands.hello import hello\n{before}")
    edit(path, "for command in (caption, ", "for command in (hello, caption, ")
    assert run(program, "-m", "inference", "hello", "reader") == "Hello, reader\n"


def test_a_command_of_the_bot(program: Path) -> None:
    path = program / first_file("a command of the bot")
    write(
        path.with_name("hello.py"),
        """
        from aiogram import Router
        from bot.handlers.common import TextCommand

        def router():
            made = Router(name="hello")
            made.message.register(hello, TextCommand("hello"))
            return made

        async def hello(message): ...
        """,
    )
    edit(path, "    errors,\n", "    errors,\n    hello,\n")
    edit(path, "        start.router(),\n", "        hello.router(),\n        start.router(),\n")
    code = "from bot.handlers import routers; print([one.name for one in routers()])"
    assert "'hello'" in run(program, "-c", code)

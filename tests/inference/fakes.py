"""Captioners for worker processes of tests: they cost nothing, and misbehave on pictures of a certain colour.

Named to the worker as ``tests.inference.fakes:load``. What they need from a test comes by the environment:
FAKE_LOG (a file that gets one JSON line for every load and every batch), FAKE_GATE (a file: blue pictures
wait until it exists) and FAKE_WORDS (what else is read on every picture).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import tempfile
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from inference.checkpoints.models import checkpoint_hash
from inference.checkpoints.names import ModelName
from inference.common.interruptions import may_be_interrupted
from inference.common.types import Answer, Asked, Caption, DecodingOptions

PLAIN = (120, 120, 120)
POISON = (200, 0, 0)  # kills the worker, every time
POISON_ONCE = (200, 100, 0)  # kills the worker the first time
HANG = (100, 0, 100)  # is never answered
WAIT = (0, 0, 200)  # is answered when the file FAKE_GATE exists
LONG = (0, 100, 200)  # as well, and others go before meanwhile
RAISE = (0, 100, 100)  # raises an ordinary exception
GARBLE = (60, 60, 0)  # writes nonsense where the worker's answers go
NOISY = (90, 90, 0)  # prints to stdout, as libraries do

TALKS = "---\ntalks: true\n---\n"  # the top of a card


def picture(colour: tuple[int, int, int] = PLAIN, size: tuple[int, int] = (32, 24)) -> bytes:
    """A PNG of one colour."""
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def write_checkpoint(models_dir: Path, name: str, *, card: str = "", weights: str = "") -> str:
    """A checkpoint folder as far as the torch-free side looks at it; returns its hash. 6 parameters.

    `weights`: up to six letters, the name's where none are given.
    """
    folder = models_dir / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text(card)
    header = json.dumps({"w": {"dtype": "U8", "shape": [2, 3], "data_offsets": [0, 6]}}).encode()
    content = struct.pack("<Q", len(header)) + header + (weights or name).encode().ljust(6)[:6]
    (folder / "model.safetensors").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def hash_of(models_dir: Path, name: str) -> str:
    """What the captions of the model that somebody names depend on."""
    return checkpoint_hash(models_dir, ModelName.parse(name))


def promote(models_dir: Path, name: str, weights: str) -> str:
    """Put other weights in the place of the named checkpoint, as a promotion does; returns their hash."""
    with tempfile.TemporaryDirectory(dir=models_dir, prefix=".promoted-") as beside:
        checkpoint = write_checkpoint(Path(beside), "new", weights=weights)
        (models_dir / name).rename(Path(beside) / "old")
        (Path(beside) / "new").rename(models_dir / name)
    return checkpoint


def log(**entry: object) -> None:
    """One line in FAKE_LOG."""
    path = os.environ.get("FAKE_LOG")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), **entry}) + "\n")


class FakeCaptioner:
    """Says the picture's size and colour, and the options it was given."""

    def __init__(self, name: str, models_dir: Path, threads: int | None) -> None:
        weights = (models_dir / name / "model.safetensors").read_bytes()
        if weights.endswith(b"broken"):
            raise ValueError("config.json has no 'encoder'")
        if weights.endswith(b"deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        self.name = name
        self.checkpoint = hashlib.sha256(weights).hexdigest()
        self.threads = threads

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None) -> list[Caption]:
        asked = {"question": options.question} if options is not None and options.question else {}
        log(batch=[image.size for image in images], **asked)
        more = [os.environ["FAKE_WORDS"]] if "FAKE_WORDS" in os.environ else []
        for image in images:
            self._misbehave(image)
        return [
            Caption(
                summary=f"{image.width} x {image.height}",
                text=f"{image.width} x {image.height}\nЦвет {image.getpixel((0, 0))}, потоков {self.threads}",
                words=("СЛОВА", f"вторые {image.width}", *more),
                model=self.name,
                checkpoint=self.checkpoint,
                options=options or DecodingOptions(),
                seconds={"read": 0.0, "encode": 0.0, "generate": 0.0},
                confidence=0.5,
                notes=("upside_down",),
            )
            for image in images
        ]

    def warm_up(self) -> None:
        log(warm=self.name)

    def _misbehave(self, image: Image.Image) -> None:
        colour = image.getpixel((0, 0))
        if colour == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        if colour == POISON_ONCE:
            flag = Path(os.environ["FAKE_LOG"] + ".once")
            if not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if colour == HANG:
            signal.pause()
        while colour in {WAIT, LONG} and not Path(os.environ["FAKE_GATE"]).exists():
            time.sleep(0.01)
            if colour == LONG:
                may_be_interrupted()
        if colour == RAISE:
            raise RuntimeError("the fake\nwas told to raise")
        if colour == GARBLE:
            os.write(3, b"\x00\x00\x00\x05\x00\x00\x00\x00hello")  # the worker's copy of its stdout
            signal.pause()
        if colour == NOISY:
            print("a library says hello")
            os.write(1, b"and so does its C code\n")


def load(name: str, models_dir: Path, *, threads: int | None = None) -> FakeCaptioner:
    """The usual fake."""
    log(load=name)
    return FakeCaptioner(name, models_dir, threads)


class FakeTalker(FakeCaptioner):
    """Answers what it was asked, and says what was said before."""

    def ask(self, image: Image.Image, asked: Asked, options: DecodingOptions | None) -> Answer:
        log(question=asked.question, turns=[[turn.question, turn.answer] for turn in asked.turns])
        self._misbehave(image)
        text = f"{image.width} x {image.height}: {asked.question}, до того {len(asked.turns)}"
        return Answer(text, self.name, self.checkpoint, seconds={"read": 0.0, "generate": 0.0})


def load_talking(name: str, models_dir: Path, *, threads: int | None = None) -> FakeTalker:
    """One that answers questions. Its checkpoint's card should say so, see :data:`TALKS`."""
    log(load=name)
    return FakeTalker(name, models_dir, threads)


def load_here_or_elsewhere(name: str, models_dir: Path, *, threads: int | None = None) -> object:
    """The models of a server as they are, the usual fake for the others."""
    from inference.captioners.captioner import load_captioner

    return (load_captioner if name.startswith("openai:") else load)(name, models_dir, threads=threads)


def load_broken(name: str, models_dir: Path, *, threads: int | None = None) -> FakeCaptioner:
    """A checkpoint that cannot be loaded."""
    raise ValueError("config.json has no 'encoder'")


def load_deadly(name: str, models_dir: Path, *, threads: int | None = None) -> FakeCaptioner:
    """A worker that dies before it is ready, as for want of memory."""
    log(load=name)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def load_never(name: str, models_dir: Path, *, threads: int | None = None) -> FakeCaptioner:
    """A model that never finishes loading."""
    signal.pause()
    raise AssertionError

"""What the worker does in its pauses."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inference.common.extras import NotInstalled
from inference.common.types import Caption, DecodingOptions
from inference.serving import protocol
from inference.serving.local import Captioner
from inference.serving.worker import Worker
from tests.inference.fakes import write_checkpoint

LOAD = {"type": "load", "model": "fake"}
PICTURE = protocol.Opened((4, 3), bytes(4 * 3 * 3), (), 0.1)
CAPTION = {
    "type": "caption",
    "model": "fake",
    "options": None,
    "ids": [7],
    "traced": ["7"],
    "pictures": [PICTURE.to_dict()],
}


class Warming:
    """Counts how often it was warmed; ``broken``: that fails."""

    name, checkpoint = "fake", "0" * 64

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.warmed = 0

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None) -> list[Caption]:
        return [
            Caption(summary="", text="кот", words=(), model="fake", checkpoint=self.checkpoint, confidence=1)
            for _ in images
        ]

    def warm_up(self) -> None:
        self.warmed += 1
        if self.broken:
            raise RuntimeError("a dictionary is missing")


def worker_of(captioner: Captioner, sent: list[protocol.Message]) -> Worker:
    return Worker(lambda _: captioner, lambda _: "0" * 64, sent.append, queue.SimpleQueue(), capacity=1)


def test_a_model_warms_up_once_in_the_first_pause() -> None:
    captioner = Warming()
    worker = worker_of(captioner, [])
    worker.handle(LOAD, [])
    assert captioner.warmed == 0
    worker.rest()
    worker.rest()
    assert captioner.warmed == 1


def test_new_weights_that_want_something_installed_say_so_in_one_sentence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    captioner, sentence = Warming(), "The model fake needs packages that are not installed."
    loads, weights = iter([captioner]), iter(["0" * 64, "0" * 64])

    def load(name: str) -> Warming:
        try:
            return next(loads)
        except StopIteration:
            raise NotInstalled(sentence) from None

    sent: list[protocol.Message] = []
    worker = Worker(load, lambda _: next(weights, "1" * 64), sent.append, queue.SimpleQueue(), capacity=1)
    worker.handle(LOAD, [])
    worker.handle({**CAPTION, "checkpoint": "1" * 64}, [PICTURE.pixels])
    assert sent[-2]["result"]["caption"]["text"] == "кот"
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.getMessage().endswith(f"the old ones go on: {sentence}")
    assert not record.exc_info


class Inbox(queue.SimpleQueue[Any]):
    """With this one message."""

    def __init__(self, message: protocol.Message) -> None:
        self.put((message, []))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if self.empty():
            assert timeout == 0, "it waits for others"
        return super().get(block, timeout)


def test_a_model_that_was_loaded_warms_up_at_once_where_nobody_waits() -> None:
    class Ending(Warming):
        def warm_up(self) -> None:
            raise SystemExit

    inbox = Inbox(LOAD | {"picture": ""})
    worker = Worker(lambda _: Ending(), lambda _: "0" * 64, lambda _: None, inbox, capacity=1)
    with pytest.raises(SystemExit):
        worker.run()


def test_a_model_that_has_described_a_picture_is_warm() -> None:
    captioner = Warming()
    worker = worker_of(captioner, [])
    worker.handle(CAPTION, [PICTURE.pixels])
    worker.rest()
    assert captioner.warmed == 0


def test_a_model_that_does_not_warm_up_still_describes(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[protocol.Message] = []
    worker = worker_of(Warming(broken=True), sent)
    worker.handle(LOAD, [])
    worker.rest()
    assert "did not warm up" in caplog.text
    worker.handle(CAPTION, [PICTURE.pixels])
    assert (sent[-2]["id"], sent[-2]["result"]["caption"]["text"]) == (7, "кот")
    assert sent[-1] == {"type": "free"}


def test_a_captioner_need_not_warm_up() -> None:
    class Plain:
        name, checkpoint = "fake", "0" * 64
        caption = Warming.caption

    sent: list[protocol.Message] = []
    worker = worker_of(Plain(), sent)
    worker.handle(LOAD, [])
    worker.rest()
    worker.handle(CAPTION, [PICTURE.pixels])
    assert sent[-1]["type"] == "free"


def test_a_worker_that_looks_after_a_checkpoint_imports_nothing_that_checks_settings(tmp_path: Path) -> None:
    """Half of what it imported was that, and a worker is started again and again."""
    expected = write_checkpoint(tmp_path, "fake")
    code = (
        "import sys, pathlib, inference.serving.worker as worker\n"
        "from inference.checkpoints.names import ModelName\n"
        f"print(worker.checkpoint_hash(pathlib.Path({str(tmp_path)!r}), ModelName.parse('fake')))\n"
        "sys.exit(any(name in sys.modules for name in ('pydantic', 'pydantic_settings', 'yaml')))"
    )
    asked = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (asked.returncode, asked.stdout.strip()) == (0, expected)

"""What the worker does in its pauses."""

from __future__ import annotations

import queue
from collections.abc import Sequence

import pytest
from PIL import Image

from inference.common.types import Caption, DecodingOptions
from inference.serving import protocol
from inference.serving.worker import Worker

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

    checkpoint = "0" * 64

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


def worker_of(captioner: object, sent: list[protocol.Message]) -> Worker:
    return Worker(lambda _: captioner, lambda _: "0" * 64, sent.append, queue.SimpleQueue(), capacity=1)  # type: ignore[arg-type, return-value]


def test_a_model_warms_up_once_in_the_first_pause() -> None:
    captioner = Warming()
    worker = worker_of(captioner, [])
    worker.handle(LOAD, [])
    assert captioner.warmed == 0
    worker.rest()
    worker.rest()
    assert captioner.warmed == 1


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
        checkpoint = "0" * 64
        caption = Warming.caption

    sent: list[protocol.Message] = []
    worker = worker_of(Plain(), sent)
    worker.handle(LOAD, [])
    worker.rest()
    worker.handle(CAPTION, [PICTURE.pixels])
    assert sent[-1]["type"] == "free"

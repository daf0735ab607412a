"""The process that holds the models: ``python -m inference.serving.worker``, started by the engine alone.

It is given pixels, never a file from a stranger: see opener.py. It talks over its stdin and stdout (see
protocol.py) and ends when stdin does, so that a killed engine leaves no orphan. Whatever a library prints to
stdout goes to stderr, which the engine logs.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from inference.checkpoints.models import checkpoint_hash
from inference.checkpoints.names import ModelName
from inference.common.errors import UserError
from inference.common.interruptions import interruptible
from inference.common.memory import give_back, kept
from inference.common.tracing import of_picture
from inference.common.types import Answer, Asked, Caption, DecodingOptions, EngineError
from inference.serving import protocol
from inference.serving.errors import kind_of
from inference.serving.in_child import answers_to_engine
from inference.serving.local import (
    AsksElsewhere,
    Captioner,
    File,
    Outcome,
    Ready,
    WarmsUp,
    answer,
    begin,
    caption_together,
    one_line,
)

logger = logging.getLogger("inference.serving.worker")

Request = tuple[protocol.Message, protocol.Attachments]
Inbox = queue.SimpleQueue[Request]

LOADING_TRIES = 3  # of one model, when its folder is replaced while it is read
_KEPT = 100_000_000  # bytes freed: the next picture is quicker for them, but no more are kept
_PAUSE = 0.5  # seconds without a message, after which nobody is taken to be waiting
_LONG = 1.0  # seconds of work on some pictures, after which others go before its rest
_DEEP = 3  # times that work which others interrupted may be interrupted itself


@dataclass(slots=True)
class _Loaded:
    """A captioner in memory."""

    captioner: Captioner
    checkpoint: str | None  # sha256 of the folder's weights when it was read; None: the folder had gone
    refused: str | None = None  # the weights that came to the folder later and cannot be loaded
    warm: bool = False  # it has captioned something, or got ready to


@dataclass(slots=True)
class _Work:
    """Pictures that are being described."""

    began: float  # by the monotonic clock
    others_may_come: bool = False  # the engine was told so


class Worker:
    """Takes one message after the other. At most ``capacity`` (>= 1) captioners stay in memory.

    ``load`` makes a model's captioner, ``current`` tells the sha256 of the weights in its folder. Both may
    raise anything. ``send`` is called in any thread. ``inbox``: messages that came, of which some are handled
    in the middle of what takes long.
    """

    def __init__(
        self,
        load: Callable[[str], Captioner],
        current: Callable[[str], str],
        send: Callable[[protocol.Message], None],
        inbox: Inbox,
        *,
        capacity: int,
    ) -> None:
        self._load = load
        self._current = current
        self._send = send
        self._inbox = inbox
        self._capacity = capacity
        self._loaded: dict[str, _Loaded] = {}  # least recently used first
        self._elsewhere: dict[int, Future[Caption | Answer]] = {}  # what other machines are asked, by its id
        self._interrupted = 0  # messages that wait for others to be handled

    def run(self) -> None:
        """Handle what comes, for ever."""
        while True:
            cold = not all(loaded.warm for loaded in self._loaded.values())
            try:
                request = self._inbox.get(timeout=0 if cold else _PAUSE)
            except queue.Empty:
                self.rest()
                request = self._inbox.get()
            self._handle_traced(request)

    def _handle_traced(self, request: Request) -> None:
        message, attachments = request
        with of_picture(message["picture"]):
            self.handle(message, attachments)

    def handle(self, message: protocol.Message, attachments: protocol.Attachments) -> None:
        """Do what one message of the engine asks, and answer it."""
        if message["type"] == "leave":
            self._leave(message["ids"])
            return
        try:
            captioner = self._captioner(message["model"], message.get("checkpoint"))
        # Whatever a checkpoint or somebody else's captioner raises must become a sentence.
        except Exception as error:
            if not isinstance(error, NoLoader):  # which was told
                # What a person can mend is all in its sentence.
                mendable = isinstance(error, UserError)
                logger.error("Model %s cannot be loaded", message["model"], exc_info=not mendable)
            sentence = f"The model {message['model']} cannot be loaded: {one_line(error)}"
            self._send({"type": "not_loaded", "request": message["type"], "sentence": sentence})
            return
        if message["type"] == "load":
            self._send({"type": "loaded", "model": message["model"], "checkpoint": captioner.checkpoint})
            return
        self._send({"type": "begun"})
        options = None if message["options"] is None else DecodingOptions.from_dict(message["options"])
        self._loaded[message["model"]].warm = True
        parts = message["pictures"], attachments, message["traced"]
        pictures = [_ready(*one) for one in zip(*parts, strict=True)]
        attachments.clear()  # as many bytes again, which nobody needs any more
        asked = Asked.from_dict(message["asked"]) if message["type"] == "ask" else None
        if isinstance(captioner, AsksElsewhere):
            self._elsewhere = {number: said for number, said in self._elsewhere.items() if not said.done()}
            for number, picture in zip(message["ids"], pictures, strict=True):
                said = begin(captioner, picture, asked, options, partial(self._tell, number))
                if said is not None:
                    self._elsewhere[number] = said
        else:
            work = _Work(time.monotonic())
            with interruptible(partial(self._let_others_go_before, work)):
                outcomes: Sequence[Outcome] = (
                    caption_together(captioner, pictures, options)
                    if asked is None
                    else [answer(captioner, pictures[0], asked, options)]
                )
            for number, outcome in zip(message["ids"], outcomes, strict=True):
                self._tell(number, outcome)
            if work.others_may_come:
                return  # that was said before
        self._send({"type": "free"})
        if kept() > _KEPT:
            give_back()

    def _leave(self, numbers: Sequence[int]) -> None:
        """Have other machines stop with what nobody waits for any more."""
        for number in numbers:
            if (said := self._elsewhere.pop(number, None)) is not None:
                said.cancel()

    def _let_others_go_before(self, work: _Work) -> None:
        """What takes long is not to hold up what does not: one more message is handled before its rest."""
        if not work.others_may_come:
            if time.monotonic() - work.began < _LONG or self._interrupted == _DEEP:
                return
            work.others_may_come = True
            self._send({"type": "free"})
        with suppress(queue.Empty):
            request = self._inbox.get_nowait()
            self._interrupted += 1
            try:
                self._handle_traced(request)
            finally:
                self._interrupted -= 1

    def _tell(self, number: int, outcome: Outcome) -> None:
        """What came of the picture of that id. In any thread."""
        self._send({"type": "answered", "id": number, "result": _result(outcome)})

    def rest(self) -> None:
        """Do what is better done while nobody waits: warm up what has captioned nothing yet, free memory."""
        for name, loaded in self._loaded.items():
            if not loaded.warm and isinstance(loaded.captioner, WarmsUp):
                try:
                    loaded.captioner.warm_up()
                except Exception:  # the first picture will say so to whom it may concern
                    logger.exception("Model %s did not warm up", name)
            loaded.warm = True
        give_back()

    def _captioner(self, name: str, wanted: str | None) -> Captioner:
        """The captioner in memory, unless ``wanted`` are weights that came to its folder since."""
        loaded = self._loaded.pop(name, None)
        if loaded is None:
            while len(self._loaded) >= self._capacity:
                del self._loaded[next(iter(self._loaded))]
                gc.collect()
            loaded = self._read(name)
        elif wanted not in {None, loaded.checkpoint, loaded.refused}:
            loaded = self._renewed(name, loaded)
        self._loaded[name] = loaded
        return loaded.captioner

    def _renewed(self, name: str, loaded: _Loaded) -> _Loaded:
        # A picture of before the last replacement wants weights that exist nowhere any more: those in memory
        # are as good as any.
        there = self._checkpoint(name)
        if there in {None, loaded.checkpoint, loaded.refused}:
            return loaded
        logger.info("Model %s was replaced (now %.12s): loading it", name, there)
        try:
            return self._read(name)
        except Exception as error:
            logger.error(
                "The new weights of %s cannot be loaded, the old ones go on: %s",
                name,
                one_line(error),
                exc_info=not isinstance(error, UserError),  # as above
            )
            return replace(loaded, refused=there)

    def _read(self, name: str) -> _Loaded:
        started = time.perf_counter()
        for left in reversed(range(LOADING_TRIES)):
            before = self._checkpoint(name)
            try:
                loaded = _Loaded(self._load(name), before)
            except Exception:
                # Half of it may have been the former folder's, half the new one's.
                if not left or self._checkpoint(name) == before:
                    raise
            else:
                if not left or self._checkpoint(name) == before:
                    break
        logger.info("Model %s loaded in %.1f s", name, time.perf_counter() - started)
        return loaded

    def _checkpoint(self, name: str) -> str | None:
        try:
            return self._current(name)
        except EngineError:
            return None


def _ready(said: protocol.Message, pixels: bytes, traced: str) -> Ready:
    opened = protocol.Opened.from_dict(said, pixels)
    image = Image.frombytes("RGB", opened.size, opened.pixels)
    return Ready(image, File(opened.notes, opened.seconds, time.perf_counter()), traced)


def _result(outcome: Outcome) -> protocol.Message:
    """As the protocol says it."""
    match outcome:
        case Caption():
            return {"caption": outcome.to_dict()}
        case Answer():
            return {"answer": outcome.to_dict()}
    return {"failed": str(outcome), "kind": kind_of(outcome)}


class NoLoader(EngineError):  # noqa: N818 - says what is wrong
    """What CAPTIONER names cannot be used: no model will ever be loaded."""

    def __init__(self, entry_point: str, reason: str) -> None:
        super().__init__(
            f"CAPTIONER is {entry_point!r}, and {reason}: write module:function, for a function of a module "
            "that this Python can import."
        )


def loader(entry_point: str) -> Callable[..., Captioner]:
    """The function that ``entry_point`` ("module:function") names. Raises NoLoader."""
    module, _, function = entry_point.partition(":")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:  # whatever somebody else's module raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise NoLoader(entry_point, f"{module or 'nothing'} cannot be imported ({reason})") from error
    if not callable(found):
        raise NoLoader(entry_point, f"{module} has no function {function or 'of no name'}")
    made: Callable[..., Captioner] = found
    return made


def _read_messages(stream: BinaryIO, inbox: Inbox) -> None:
    """In a thread of its own, so that the end of stdin ends the process whatever the model is busy with."""
    try:
        while True:
            inbox.put(protocol.read(stream))
    except (EOFError, OSError):
        # Nothing here outlives the process, and nobody is left to hear of it: no clean-up to wait for.
        os._exit(0)


def main() -> None:
    """Serve the engine until it closes stdin."""
    parser = argparse.ArgumentParser(prog="python -m inference.serving.worker")
    parser.add_argument("--captioner", required=True, help="module:function that loads a captioner")
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--loaded-models", type=int, required=True, help="in memory at once")
    parser.add_argument("--threads", type=int, required=True, help="of the processor")
    arguments = parser.parse_args()

    answers, turn = answers_to_engine(), threading.Lock()

    def send(message: protocol.Message) -> None:
        with turn:
            protocol.write(answers, message)

    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_read_messages, args=(sys.stdin.buffer, inbox), daemon=True).start()
    # Read by OpenMP when torch loads it: it must be set before it is imported.
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    made: Callable[..., Captioner] | NoLoader
    try:
        made = loader(arguments.captioner)
        send({"type": "imported", "failed": None})
    except NoLoader as error:
        made = error
        send({"type": "imported", "failed": str(error)})

    def load(name: str) -> Captioner:
        if isinstance(made, NoLoader):
            raise made
        return made(name, arguments.models_dir, threads=arguments.threads)

    worker = Worker(
        load,
        lambda name: checkpoint_hash(arguments.models_dir, ModelName.parse(name)),
        send,
        inbox,
        capacity=max(arguments.loaded_models, 1),
    )
    worker.run()


if __name__ == "__main__":
    main()

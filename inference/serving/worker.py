"""The process that holds the models: ``python -m inference.serving.worker``, started by the engine alone.

It talks over its stdin and stdout (see protocol.py) and ends when stdin does, so that a killed engine leaves
no orphan. Whatever a library prints to stdout goes to stderr, which the engine logs.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from PIL import Image

from inference.checkpoints.models import checkpoint_hash
from inference.common.types import Caption, DecodingOptions, EngineError, PictureError
from inference.pictures.opening import Picture, load_picture
from inference.serving import protocol
from inference.serving.program import program

logger = logging.getLogger("inference.serving.worker")

_Inbox = queue.SimpleQueue[tuple[protocol.Message, protocol.Attachments]]

LOADING_TRIES = 3  # of one model, when its folder is replaced while it is read


class Captioner(Protocol):
    """What a captioner must offer to run here."""

    @property
    def checkpoint(self) -> str:
        """sha256 of the weights."""

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None) -> list[Caption]:
        """One caption for each upright RGB image; None = the options the model was made for."""


@dataclass(slots=True)
class _Loaded:
    """A captioner in memory."""

    captioner: Captioner
    checkpoint: str | None  # sha256 of the folder's weights when it was read; None: the folder had gone
    refused: str | None = None  # the weights that came to the folder later and cannot be loaded


class Worker:
    """Answers one message after the other. At most ``capacity`` (>= 1) captioners stay in memory.

    ``load`` makes a model's captioner, ``current`` tells the sha256 of the weights in its folder. Both may
    raise anything.
    """

    def __init__(
        self,
        load: Callable[[str], Captioner],
        current: Callable[[str], str],
        send: Callable[[protocol.Message], None],
        *,
        capacity: int,
    ) -> None:
        self._load = load
        self._current = current
        self._send = send
        self._capacity = capacity
        self._loaded: dict[str, _Loaded] = {}  # least recently used first

    def handle(self, message: protocol.Message, attachments: protocol.Attachments) -> None:
        """Do what one message of the engine asks, and answer it."""
        try:
            captioner = self._captioner(message["model"], message.get("checkpoint"))
        # Whatever a checkpoint or somebody else's captioner raises must become a sentence.
        except Exception as error:
            logger.exception("Model %s cannot be loaded", message["model"])
            sentence = f"The model {message['model']} cannot be loaded: {_one_line(error)}"
            self._send({"type": "not_loaded", "request": message["type"], "sentence": sentence})
            return
        if message["type"] == "load":
            self._send({"type": "loaded", "model": message["model"], "checkpoint": captioner.checkpoint})
            return
        self._send({"type": "begun"})
        options = None if message["options"] is None else DecodingOptions.from_dict(message["options"])
        self._send({"type": "done", "results": caption_files(captioner, attachments, options)})

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
        except Exception:
            logger.exception("The new weights of %s cannot be loaded: the old ones go on", name)
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


def caption_files(
    captioner: Captioner, files: Sequence[bytes], options: DecodingOptions | None
) -> list[protocol.Message]:
    """One result a file, in order; the good pictures go through the model together."""
    results: list[protocol.Message] = [{}] * len(files)
    pictures: dict[int, Picture] = {}
    begun: dict[int, float] = {}
    decoded: dict[int, float] = {}
    for position, data in enumerate(files):
        begun[position] = time.perf_counter()
        try:
            pictures[position] = load_picture(data)
        except PictureError as error:
            results[position] = {"refused": error.code, "sentence": str(error)}
        decoded[position] = time.perf_counter() - begun[position]
    if not pictures:
        return results
    captions = _caption_together(captioner, list(pictures.values()), options)
    for position, caption in zip(pictures, captions, strict=True):
        if isinstance(caption, Caption):
            seconds = {
                "decode": decoded[position],
                **caption.seconds,
                "total": time.perf_counter() - begun[position],
            }
            notes = (*pictures[position].notes, *caption.notes)
            results[position] = {
                "caption": replace(caption, seconds=seconds, notes=notes, program=program()).to_dict()
            }
        else:
            results[position] = {"failed": caption}
    return results


def _caption_together(
    captioner: Captioner, pictures: Sequence[Picture], options: DecodingOptions | None
) -> list[Caption | str]:
    """A caption, or the sentence why there is none, for each picture; one bad picture costs only itself."""
    try:
        captions = captioner.caption([picture.image for picture in pictures], options)
        if len(captions) != len(pictures):
            raise RuntimeError(f"the captioner gave {len(captions)} captions for {len(pictures)} pictures")
    except Exception as error:
        if len(pictures) > 1:
            return [_caption_together(captioner, [picture], options)[0] for picture in pictures]
        logger.exception("A picture of %d x %d could not be captioned", pictures[0].width, pictures[0].height)
        return [f"The picture could not be captioned: {_one_line(error)}"]
    return list(captions)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def loader(entry_point: str, models_dir: Path, threads: int) -> Callable[[str], Captioner]:
    """A function from a model's name to its captioner, made by ``entry_point`` ("module:function").

    The module, and torch with it, is imported at the first call: the engine may send pictures before.
    """

    def load(name: str) -> Captioner:
        module, _, function = entry_point.partition(":")
        captioner: Captioner = getattr(importlib.import_module(module), function)(
            name, models_dir, threads=threads
        )
        return captioner

    return load


def _read_messages(stream: BinaryIO, inbox: _Inbox) -> None:
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

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the engine, which may want a last answer
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(message)s", stream=sys.stderr)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: protocol.Message) -> None:
        for piece in protocol.pack(message):
            answers.write(piece)
        answers.flush()

    inbox: _Inbox = queue.SimpleQueue()
    threading.Thread(target=_read_messages, args=(sys.stdin.buffer, inbox), daemon=True).start()
    # Read by OpenMP when torch loads it: it must be set before it is imported.
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    worker = Worker(
        loader(arguments.captioner, arguments.models_dir, arguments.threads),
        partial(checkpoint_hash, arguments.models_dir),
        send,
        capacity=max(arguments.loaded_models, 1),
    )
    while True:
        worker.handle(*inbox.get())


if __name__ == "__main__":
    main()

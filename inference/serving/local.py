"""Files through a model in this process: a batch of the worker, or one at a time from `inference.load`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from PIL import Image

from inference.common.tracing import of_picture, picture_id
from inference.common.types import (
    Answer,
    Asked,
    CannotTalk,
    Caption,
    DecodingOptions,
    EngineError,
    Turn,
)
from inference.pictures.files import read_file
from inference.pictures.opening import load_picture
from inference.serving.program import program

logger = logging.getLogger(__name__)

Outcome = Caption | Answer | EngineError
_Said = TypeVar("_Said", bound=Caption | Answer)


@dataclass(frozen=True, slots=True)
class File:
    """What is known of a picture's file."""

    notes: tuple[str, ...]  # see inference.pictures.opening.Picture
    seconds: float  # that it took to open it
    since: float  # time.perf_counter() when the picture was there


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture that was opened."""

    image: Image.Image  # RGB, upright
    file: File
    traced: str  # its id in the logs, "" where it has none


class Captioner(Protocol):
    """What a captioner must offer to run here."""

    @property
    def name(self) -> str:
        """The model's."""

    @property
    def checkpoint(self) -> str:
        """sha256 of the weights."""

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None) -> list[Caption]:
        """One caption for each upright RGB image; None = the options the model was made for."""


@runtime_checkable
class Talks(Protocol):
    """What a captioner offers that answers questions about a picture."""

    def ask(self, image: Image.Image, asked: Asked, options: DecodingOptions | None) -> Answer:
        """The answer to a question about an upright RGB image. Raises CannotTalk: this one describes only."""


@runtime_checkable
class AsksElsewhere(Protocol):
    """What a captioner offers whose model is on another machine: others are seen to while that is busy."""

    def begin(
        self, image: Image.Image, asked: Asked | None, options: DecodingOptions | None
    ) -> Future[Caption | Answer]:
        """As :meth:`Talks.ask`; None: as :meth:`Captioner.caption`. It is there later, and done in another
        thread; who cancels it has the other machine stop.
        """


@runtime_checkable
class WarmsUp(Protocol):
    """What a captioner offers whose first picture would take longer than the others."""

    def warm_up(self) -> None:
        """Does beforehand what the first picture would wait for."""


class LocalModel:
    """A model that was loaded into this process: no queue, no time limit, no other process. Not thread-safe.

    A picture that takes the process down (out of memory) takes its caller down: a service wants
    :class:`inference.serving.engine.Engine`.
    """

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner

    @property
    def checkpoint(self) -> str:
        """sha256 of the weights, 64 hexadecimal digits."""
        return self._captioner.checkpoint

    def caption_file(self, path: str | Path, options: DecodingOptions | None = None) -> Caption:
        """What the picture in the file shows; None = the options the model was made for.

        Raises:
            PictureError: the file cannot be read, or no model can caption it.
            EngineError: the model failed on it.
        """
        return self.caption_bytes(read_file(Path(path)), options)

    def caption_bytes(self, data: bytes, options: DecodingOptions | None = None) -> Caption:
        """The same for the bytes of a file, of any format that `inference.pictures.opening` reads."""
        (outcome,) = caption_together(self._captioner, [_opened(data)], options)
        if isinstance(outcome, Caption):
            return outcome
        raise outcome

    def ask_file(
        self,
        path: str | Path,
        question: str,
        turns: Sequence[Turn] = (),
        options: DecodingOptions | None = None,
    ) -> Answer:
        """The answer to a question about the picture in the file; ``turns``: what was said of it before.

        Raises:
            PictureError: the file cannot be read, or no model can look at it.
            CannotTalk: the model describes only.
            EngineError: the model failed on it.
        """
        return self.ask_bytes(read_file(Path(path)), question, turns, options)

    def ask_bytes(
        self,
        data: bytes,
        question: str,
        turns: Sequence[Turn] = (),
        options: DecodingOptions | None = None,
    ) -> Answer:
        """The same for the bytes of a file, of any format that `inference.pictures.opening` reads."""
        asked = Asked(question, tuple(turns))
        outcome = answer(self._captioner, _opened(data), asked, options)
        if isinstance(outcome, Answer):
            return outcome
        raise outcome


def _opened(data: bytes) -> Ready:
    """The picture in a file's bytes. Raises PictureError."""
    begun = time.perf_counter()
    picture = load_picture(data)
    opened = time.perf_counter()
    return Ready(picture.image, File(picture.notes, opened - begun, opened), picture_id())


def load(name: str, models_dir: str | Path, *, threads: int | None = None) -> LocalModel:
    """The named model. ``threads``: of the processor; None: all that it may use.

    Raises:
        UnknownModel: no model has that name; the message says which there are, or how to get it.
        NotInstalled: PyTorch would run it, and is not installed.
        EngineError: it is damaged, or of an architecture this version does not know.
    """
    from inference.captioners.captioner import load_captioner  # noqa: PLC0415 - torch takes seconds

    return LocalModel(load_captioner(name, Path(models_dir), threads=threads))


def caption_together(
    captioner: Captioner, pictures: Sequence[Ready], options: DecodingOptions | None
) -> list[Caption | EngineError]:
    """What came of each picture, in order: they go through the model together."""
    outcomes: list[Caption | EngineError] = []
    captions = _captions(pictures, captioner, options)
    for picture, caption in zip(pictures, captions, strict=True):
        outcomes.append(_complete(picture.file, caption) if isinstance(caption, Caption) else caption)
    return outcomes


def answer(
    captioner: Captioner, picture: Ready, asked: Asked, options: DecodingOptions | None
) -> Answer | EngineError:
    """What the captioner answers to a question about a picture, or why there is no answer."""
    if not isinstance(captioner, Talks):
        return CannotTalk.of(captioner.name)
    try:
        return _complete(picture.file, captioner.ask(picture.image, asked, options))
    except Exception as error:
        return _failure(picture.image.size, error, "asked about")


def begin(
    captioner: AsksElsewhere,
    picture: Ready,
    asked: Asked | None,
    options: DecodingOptions | None,
    tell: Callable[[Outcome], None],
) -> Future[Caption | Answer] | None:
    """Have a picture described (``asked`` None), or a question about it answered, elsewhere.

    ``tell`` is told what came of it, once, in whichever thread, unless what is returned is cancelled; None:
    it was told.
    """
    file, size = picture.file, picture.image.size  # its pixels are not kept for as long as that takes
    what = "captioned" if asked is None else "asked about"

    def told(said: Future[Caption | Answer]) -> None:
        if said.cancelled():
            return
        try:
            outcome: Outcome = _complete(file, said.result())
        except Exception as error:
            outcome = _failure(size, error, what)
        tell(outcome)

    with of_picture(picture.traced):  # also in the thread where it is waited for
        try:
            said = captioner.begin(picture.image, asked, options)
        except Exception as error:
            tell(_failure(size, error, what))
            return None
        said.add_done_callback(told)
        return said


def _complete(file: File, said: _Said) -> _Said:
    """What was said of a picture, with what is known of its file."""
    total = file.seconds + time.perf_counter() - file.since
    seconds = {"decode": file.seconds, **said.seconds, "total": total}
    return replace(said, seconds=seconds, notes=(*file.notes, *said.notes), program=program())


def _failure(size: tuple[int, int], error: Exception, what: str) -> EngineError:
    """``what``: could not be done with the picture."""
    if isinstance(error, EngineError):
        return error
    logger.error("A picture of %d x %d could not be %s", *size, what, exc_info=error)
    return EngineError(f"The picture could not be {what}: {one_line(error)}")


def _captions(
    pictures: Sequence[Ready], captioner: Captioner, options: DecodingOptions | None
) -> Sequence[Caption | EngineError]:
    """A caption, or the sentence why there is none, for each picture; one bad picture costs only itself."""
    images = [picture.image for picture in pictures]
    try:
        captions = captioner.caption(images, options)
        if len(captions) != len(images):
            raise RuntimeError(f"the captioner gave {len(captions)} captions for {len(images)} pictures")
    except Exception as error:
        if len(pictures) > 1:
            return [_alone(picture, captioner, options) for picture in pictures]
        return [_failure(images[0].size, error, "captioned")]
    return captions


def _alone(picture: Ready, captioner: Captioner, options: DecodingOptions | None) -> Caption | EngineError:
    with of_picture(picture.traced):
        return _captions([picture], captioner, options)[0]


def one_line(error: BaseException) -> str:
    """What the error says, as one sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."

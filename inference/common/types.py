"""Plain data that the bot, the engine, the worker and the command line share. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal, Self, get_args

from inference.common.errors import UserError

Strategy = Literal["own", "greedy", "beam", "sample"]
Detail = Literal["short", "usual", "detailed"]
Language = Literal["ru", "en", "uk"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
PictureErrorCode = Literal[
    "empty", "not_a_picture", "truncated", "too_many_pixels", "too_large", "too_costly", "unsupported"
]

QUESTION_LENGTH: Final = 1000  # characters of a question, at most
# The question what the joke of a picture is, as a button asks it: how it is put to a model is the model's
# affair. Nobody can type it, since a chat takes what begins so for a command.
JOKE: Final = "/joke"

_WHOLE = ("beams", "top_k", "min_tokens", "max_tokens", "no_repeat_ngram")
_REAL = ("temperature", "top_p", "length_penalty", "repetition_penalty")
# Which options decide the outcome of each strategy: the others must not split a cache.
_SHARED_OPTIONS = frozenset(
    {"strategy", "min_tokens", "max_tokens", "length_penalty", "repetition_penalty", "no_repeat_ngram"}
)
_RELEVANT_OPTIONS: dict[str, frozenset[str]] = {
    "own": frozenset(),
    "greedy": _SHARED_OPTIONS - {"length_penalty"},
    "beam": _SHARED_OPTIONS | {"beams"},
    "sample": (_SHARED_OPTIONS - {"length_penalty"}) | {"temperature", "top_k", "top_p", "seed"},
}
# How much is told, and in which language: these decide whatever the strategy.
_TELLING = ("detail", "quoting", "language", "question")


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """How a caption is searched for among the decoder's continuations, and what it is to tell.

    What is to be told is asked of every model; one that knows a single length or language keeps to it, and
    one that cannot talk answers no question.
    Raises ValueError when a value is outside the range written beside it.
    """

    strategy: Strategy = "beam"  # "own": the search that the model was made for
    beams: int = 3  # >= 1; hypotheses kept by "beam"
    temperature: float = 1.0  # > 0; divides the logits of "sample"
    top_k: int = 0  # >= 0; "sample" draws among the k likeliest tokens, 0 = among all
    top_p: float = 1.0  # (0, 1]; "sample" draws from the smallest set with this much probability (nucleus)
    seed: int | None = None  # of "sample"; None = another draw every time
    min_tokens: int = 0  # >= 0, <= max_tokens; the end token is forbidden before
    max_tokens: int = 160  # >= 1
    length_penalty: float = 1.0  # -50..50; a beam's score is its log-probability / length ** length_penalty
    repetition_penalty: float = 1.0  # > 0; 1 = none (Keskar et al. 2019, CTRL)
    no_repeat_ngram: int = 0  # >= 0; no n-gram of this length twice, 0 = off
    detail: Detail = "usual"
    quoting: bool = True  # the words read on the picture stand in the text, each in its place
    language: Language = "ru"
    question: str = ""  # what the description is to answer besides, QUESTION_LENGTH characters at most

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise ValueError(
                f"Strategy must be one of {', '.join(get_args(Strategy))}, not {self.strategy!r}."
            )
        for name, known in (("detail", get_args(Detail)), ("language", LANGUAGES)):
            if getattr(self, name) not in known:
                raise ValueError(f"Decoding option {name} must be one of {', '.join(known)}.")
        if type(self.quoting) is not bool:
            raise ValueError(f"Decoding option quoting must be true or false, not {self.quoting!r}.")
        checked_question(self.question)
        for name in _WHOLE:
            if type(value := getattr(self, name)) is not int:
                raise ValueError(f"Decoding option {name} must be a whole number, not {value!r}.")
        for name in _REAL:
            value = getattr(self, name)
            if type(value) not in {int, float} or not math.isfinite(value):
                raise ValueError(f"Decoding option {name} must be a number, not {value!r}.")
        if self.seed is not None and (type(self.seed) is not int or not -(2**63) <= self.seed < 2**64):
            raise ValueError(f"Decoding option seed must be a whole number of 64 bits, not {self.seed!r}.")
        checks = (
            (self.beams >= 1, "beams must be at least 1"),
            (self.temperature > 0, "temperature must be above 0"),
            (self.top_k >= 0, "top_k must be 0 (off) or more"),
            (0 < self.top_p <= 1, "top_p must be above 0 and at most 1"),
            (self.max_tokens >= 1, "max_tokens must be at least 1"),
            (0 <= self.min_tokens <= self.max_tokens, "min_tokens must be between 0 and max_tokens"),
            (abs(self.length_penalty) <= 50, "length_penalty must be between -50 and 50"),
            (self.repetition_penalty > 0, "repetition_penalty must be above 0"),
            (self.no_repeat_ngram >= 0, "no_repeat_ngram must be 0 (off) or more"),
        )
        for holds, sentence in checks:
            if not holds:
                raise ValueError(f"Decoding option {sentence}.")

    def to_dict(self) -> dict[str, Any]:
        """All options, JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The options of :meth:`to_dict`; what is missing keeps its default. ValueError: an unknown name."""
        if not isinstance(values, Mapping):
            raise ValueError("Decoding options must be a table of names and values.")
        unknown = sorted(set(values) - {option.name for option in fields(cls)})
        if unknown:
            raise ValueError(f"Unknown decoding option: {', '.join(unknown)}.")
        return cls(**values)

    @classmethod
    def telling(cls, *, detail: Detail, quoting: bool, language: Language, question: str = "") -> Self | None:
        """To be told so, by the model's own search; None where that is the usual way."""
        asked = cls("own", detail=detail, quoting=quoting, language=language, question=question)
        return None if asked == cls("own") else asked

    def of_model(self, own: DecodingOptions) -> DecodingOptions:
        """These options for a model that was made for ``own``, whose search it is where they name none."""
        return own.told_as(self) if self.strategy == "own" else self

    def told_as(self, other: DecodingOptions) -> DecodingOptions:
        """The same search, for a caption that tells as much as ``other``, and in its language."""
        return replace(self, **{name: getattr(other, name) for name in _TELLING})

    def key(self) -> str:
        """16 hexadecimal digits, equal for options that cannot give different captions."""
        relevant = _RELEVANT_OPTIONS[self.strategy]
        # 1 and 1.0 are the same temperature, but not the same JSON.
        values = {
            name: float(value) if isinstance(value, (int, float)) else value
            for name, value in self.to_dict().items()
            if name in relevant
        }
        # What is usual has no part in it: keys of before there was a choice stay what they were.
        usual = DecodingOptions()
        values |= {
            name: getattr(self, name) for name in _TELLING if getattr(self, name) != getattr(usual, name)
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Version:
    """What makes a caption besides its picture and its options."""

    checkpoint: str  # sha256 of the weights, see inference.checkpoints.models.checkpoint_hash
    program: str  # see inference.serving.program


@dataclass(frozen=True, slots=True)
class Caption:
    """What is said about one picture, and everything needed to tell later how it came about."""

    summary: str  # one line
    text: str  # the description
    words: tuple[str, ...]  # all that was read surely on the picture: one string a block, in reading order
    model: str
    checkpoint: str  # sha256 of the weights, 64 hexadecimal digits
    program: str = ""  # see inference.serving.program; the worker fills it in
    options: DecodingOptions = field(default_factory=DecodingOptions)
    # By stage: decode (bytes to pixels), read (the words), generate; total = from the bytes' arrival in the
    # worker to the answer, which for a picture in a batch holds its companions' time too. Parts of a stage,
    # such as read.detect, are counted in it: see inference.common.stages.
    seconds: dict[str, float] = field(default_factory=dict)
    confidence: float = 1.0  # 0..1
    # Codes of what the reader should know: "first_frame" (of an animation), "first_page" (of several pictures
    # in the file), "partial" (the picture did not come whole), "low_confidence", "no_reading" (the reader's
    # weights are missing or damaged), "unreadable" (most of what is written there could not be read),
    # "upside_down" (the picture is; it is described the right way up), "own_reading" (the text quotes words
    # that the reader did not find: the model read them itself), "other_language" (than was asked for).
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: tuples become lists, the options a dict."""
        return {
            "summary": self.summary,
            "text": self.text,
            "words": list(self.words),
            "model": self.model,
            "checkpoint": self.checkpoint,
            "program": self.program,
            "options": self.options.to_dict(),
            "seconds": dict(self.seconds),
            "confidence": self.confidence,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The caption of :meth:`to_dict`. Raises KeyError or TypeError when a field is missing or unknown."""
        return cls(
            **{
                **values,
                "words": tuple(values["words"]),
                "options": DecodingOptions.from_dict(values["options"]),
                "seconds": dict(values["seconds"]),
                "notes": tuple(values["notes"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """A question about a picture, and what was answered."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be answered about a picture. Raises ValueError for a question that is too long."""

    question: str  # at most QUESTION_LENGTH characters, or JOKE
    turns: tuple[Turn, ...] = ()  # what was said of it before, in order; a description is the answer to ""

    def __post_init__(self) -> None:
        checked_question(self.question)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What :meth:`to_dict` says. Raises KeyError, TypeError or ValueError."""
        return cls(values["question"], tuple(Turn(**turn) for turn in values["turns"]))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says when it is asked about a picture."""

    text: str
    model: str
    checkpoint: str  # as a caption's
    program: str = ""  # likewise
    seconds: dict[str, float] = field(default_factory=dict)  # likewise
    notes: tuple[str, ...] = ()  # likewise

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The answer of :meth:`to_dict`. Raises KeyError or TypeError when a field is missing or unknown."""
        return cls(**{**values, "seconds": dict(values["seconds"]), "notes": tuple(values["notes"])})


def checked_question(text: str) -> str:
    """The question as it is. Raises ValueError where it is no text, or too long."""
    if not isinstance(text, str) or len(text) > QUESTION_LENGTH:
        raise ValueError(f"A question must be a text of {QUESTION_LENGTH} characters at most.")
    return text


class PictureError(UserError, ValueError):
    """No model can caption these bytes: ``str()`` says why and what to do, in one sentence."""

    def __init__(self, code: PictureErrorCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code: PictureErrorCode = code


class EngineError(UserError, RuntimeError):
    """The picture may be good, but no caption came: ``str()`` says why and what to do, in one sentence."""


class EngineBusy(EngineError):  # noqa: N818 - a state, said the way the callers say it
    """The queue is full: try again when some pictures have been answered."""


class PictureTimeout(EngineError):  # noqa: N818
    """This picture, alone in the worker, took longer than the time allowed for one."""


class WorkerCrashed(EngineError):  # noqa: N818
    """A process died on this picture: that which opened it, or the worker, also when it was retried alone."""


class UnknownModel(EngineError):  # noqa: N818
    """No checkpoint of this name is in the models folder."""


class ModelNotLoaded(EngineError):  # noqa: N818
    """The model's checkpoint is there, but cannot be loaded: no picture will do better."""


class CannotTalk(EngineError):  # noqa: N818
    """The model describes pictures and answers no questions about them."""

    @classmethod
    def of(cls, model: str) -> Self:
        """With the sentence about the named model."""
        return cls(f"The model {model} describes pictures and answers no questions: ask one that talks.")


class NotAllowed(EngineError):  # noqa: N818
    """The service on another machine does not serve this caller: a key is wrong or missing."""

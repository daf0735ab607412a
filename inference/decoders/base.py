"""What every decoder of this package is: a module with the two methods that the search drives, and a third
for training. See :mod:`inference.decoding.search`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from inference.common.registry import Registry
from inference.encoders.base import Memory

IGNORED = -100  # a target that teaches nothing: padding, and what is given rather than said


class CaptionDecoder(nn.Module, ABC):
    """``memory`` is what an encoder yields: (n, d), (n, p, d), or a tuple of (n, d_i).

    ``step`` after ``start`` says the same as ``forward`` does at that place.
    """

    vocabulary: int  # V
    settings: dict[str, Any]  # JSON-able, what build_decoder builds its like from

    @classmethod
    def vocabulary_for(cls, tokens: int, settings: Mapping[str, Any]) -> int:  # noqa: ARG003 - see RuDOLPH's
        """The ``vocabulary`` of a decoder with these settings, for a tokenizer of so many tokens."""
        return tokens

    @abstractmethod
    def start(self, memory: Memory) -> Any:
        """The state before the first token."""

    @abstractmethod
    def step(self, state: Any, tokens: Tensor) -> tuple[Tensor, Any]:
        """``tokens`` (n,), int64, to the logits of what follows (n, V), and the state after them."""

    def feed(self, state: Any, tokens: Tensor, lengths: Tensor) -> Any:  # noqa: ARG002 - see those that can
        """The state after the first ``lengths`` (n,), at least 1, of each row of ``tokens`` (n, T), int64."""
        raise TypeError(f"{type(self).__name__} takes no text before its sentence: give it no words read.")

    def left_text(self, texts: Sequence[Sequence[int]]) -> Tensor | None:  # noqa: ARG002 - see RuDOLPH's
        """The tokens of n texts for a place of their own before the picture; None where there is no such
        place, and a text stands between the start token and the sentence."""
        return None

    @abstractmethod
    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Teacher forcing: ``tokens`` (n, L), int64, the start token first, to logits (n, L, V).

        Place t says what follows token t.
        """

    def places(self, seen: int) -> int | None:  # noqa: ARG002 - of those that have a limit
        """The most tokens that can be fed, the start token among them, behind a memory of ``seen`` positions
        (:attr:`Encoder.positions`); None = any number."""
        return None

    def loss(self, memory: Memory, tokens: Tensor, targets: Tensor) -> Tensor:
        """What training makes small, a scalar: the mean cross-entropy of the targets.

        ``targets`` (n, L), int64: what follows each token, or IGNORED.
        """
        return self.token_losses(memory, tokens, targets).sum() / (targets != IGNORED).sum()

    def token_losses(
        self, memory: Memory, tokens: Tensor, targets: Tensor, added: Tensor | None = None
    ) -> Tensor:
        """The cross-entropy of each target (n, L), 0 where it is IGNORED; ``added`` (n, L, V): to the logits,
        finite where a target counts."""
        logits = self(memory, tokens)
        logits = (logits if added is None else logits + added).flatten(0, 1)
        losses = functional.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view_as(targets)


Build = type[CaptionDecoder]
_REGISTRY: Registry[tuple[Any, Any]] = Registry(
    "decoder",
    (
        "inference.decoders.recurrent",
        "inference.decoders.gpt_prefix",
        "inference.decoders.rudolph",
        "inference.decoders.transformer",
    ),
)
kinds = _REGISTRY.names  # that build_decoder knows


def register(kind: str, config: type) -> Any:
    """Names a decoder class and the dataclass of its settings. Raises ValueError when the name is taken."""

    def add(build: Build) -> Build:
        _REGISTRY.add(kind, (build, config))
        return build

    return add


def vocabulary_for(config: Mapping[str, Any], tokens: int) -> int:
    """See :meth:`CaptionDecoder.vocabulary_for`. Raises ValueError when the kind is unknown."""
    build, _ = _REGISTRY.find(config.get("kind"))
    vocabulary: int = build.vocabulary_for(tokens, config)
    return vocabulary


def build_decoder(config: Mapping[str, Any]) -> CaptionDecoder:
    """The decoder that ``config`` describes, with random weights: ``kind`` names it, the rest sets it.

    Raises ValueError when the kind is unknown, or a setting is.
    """
    settings = {key: tuple(v) if isinstance(v, list) else v for key, v in config.items()}
    kind = settings.pop("kind", None)
    build, settings_of = _REGISTRY.find(kind)
    chosen = _REGISTRY.made(kind, settings_of, settings)
    decoder: CaptionDecoder = build(chosen)
    written = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(chosen).items()}
    decoder.settings = {"kind": kind, **written}
    return decoder

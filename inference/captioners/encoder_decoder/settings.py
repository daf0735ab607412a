"""What config.json says of an encoder-decoder beside its two parts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from inference.checkpoints.config import Settings
from inference.tokenizers.words_read import PROMPT_TOKENS, WordsRead

ARCHITECTURE = "encoder-decoder"


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Numbers of the tokens around a sentence, of those that are never said, and of those that end a sentence
    as ``eos`` does where a model says them."""

    bos: int
    eos: int
    pad: int
    forbidden: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """What only this architecture has."""

    tokenizer: str  # its kind
    special: SpecialTokens
    words: WordsRead = "none"  # how the words read reach the decoder
    prompt_tokens: int = PROMPT_TOKENS  # at most, of those words

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, own: Settings) -> Self:
        """What :meth:`to_dict` gave; the words read and other ends are younger than the format.

        Raises KeyError for what is missing, TypeError for what is wrong.
        """
        told = own["special"]
        lists = {"forbidden": tuple(told["forbidden"]), "ends": tuple(told.get("ends", ()))}
        special = {**told, **lists}
        words, most = own.get("words", "none"), own.get("prompt_tokens", PROMPT_TOKENS)
        return cls(own["tokenizer"], SpecialTokens(**special), words, most)

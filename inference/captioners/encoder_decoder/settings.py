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
class DetectorSettings:
    """Of :class:`inference.captioners.encoder_decoder.detectors.WordDetectors`."""

    count: int  # of lemmas that have one
    strength: float  # what the difference of a lemma's log-odds is multiplied by
    least: float  # how likely a lemma must be to be detected, 0..1
    undetected: float  # what the logits of content words whose lemma is not detected are lowered by
    nodes: int = 0  # of the tree of words that tokens spell; 0: each token is a word


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """What only this architecture has."""

    tokenizer: str  # its kind
    special: SpecialTokens
    words: WordsRead = "none"  # how the words read reach the decoder
    prompt_tokens: int = PROMPT_TOKENS  # at most, of those words
    detectors: DetectorSettings | None = None  # None: the checkpoint has none

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        own = asdict(self)
        if self.detectors is None:
            del own["detectors"]
        return own

    @classmethod
    def from_dict(cls, own: Settings) -> Self:
        """What :meth:`to_dict` gave; the words read, other ends and detectors are younger than the
        format.

        Raises KeyError for what is missing, TypeError for what is wrong.
        """
        told = own["special"]
        lists = {"forbidden": tuple(told["forbidden"]), "ends": tuple(told.get("ends", ()))}
        special = {**told, **lists}
        words, most = own.get("words", "none"), own.get("prompt_tokens", PROMPT_TOKENS)
        detectors = DetectorSettings(**own["detectors"]) if "detectors" in own else None
        return cls(own["tokenizer"], SpecialTokens(**special), words, most, detectors)

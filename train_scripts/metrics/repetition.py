"""Does a caption say the same thing twice? What a decoder in a loop writes and no person does."""

from __future__ import annotations

from collections.abc import Iterable

from train_scripts.metrics.tokens import plain_words

__all__ = ["repeats_phrase"]


def repeats_phrase(parts: Iterable[str], words: int = 4) -> bool:
    """Whether a run of `words` words, hence any longer one, occurs twice in the parts of a caption.

    Overlapping occurrences count; case and punctuation do not; a run never reaches over two parts.
    """
    phrases = [
        tuple(tokens[i : i + words])
        for tokens in map(plain_words, parts)
        for i in range(len(tokens) - words + 1)
    ]
    return len(set(phrases)) < len(phrases)

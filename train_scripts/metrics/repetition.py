"""Does a caption say the same thing twice? What a decoder in a loop writes and no person does."""

from __future__ import annotations

from train_scripts.metrics.tokens import plain_words

__all__ = ["repeats_phrase"]


def repeats_phrase(text: str, words: int = 4) -> bool:
    """Whether a run of `words` words (hence any longer one) occurs twice, inside quotes or outside,
    overlapping or not; case and punctuation do not count.
    """
    tokens = plain_words(text)
    phrases = [tuple(tokens[i : i + words]) for i in range(len(tokens) - words + 1)]
    return len(set(phrases)) < len(phrases)

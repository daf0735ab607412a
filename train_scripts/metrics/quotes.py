"""The words on the picture, as captions give them: inside quotes ("…", «…», “…”, „…“).

People close straight quotes carelessly, so these are read by what stands beside them, not by counting: a
quote that opens stands before a character and after none, one that closes the other way round; where that
does not decide, it closes if one is open. Marks of different kinds close each other where no mark of the same
kind is open. A quote never closed reaches to the end of its sentence or to the next quotation, and one that
closes nothing is a stray mark.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from train_scripts.metrics.tokens import plain_words

__all__ = ["quote_counts", "quoted_mask", "quoted_text", "unquoted_parts"]

_OPENS = {"«": "»", "“": "”", "„": "”"}
_CLOSES = frozenset("»”")
_STRAIGHT = '"'
_MARKS = frozenset({_STRAIGHT, *_OPENS, *_CLOSES})
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|\Z)")


def _faces(text: str, index: int) -> str | None:
    """What a straight quote does by its neighbours: "opens", "closes", or None where they do not tell."""
    before = text[:index].rstrip(_STRAIGHT)[-1:] or " "
    after = text[index:].lstrip(_STRAIGHT)[:1] or " "
    free_before = before.isspace() or before in "([{—-«“„"
    free_after = after.isspace() or after in ".,;:!?)]}—-»”…"
    if free_before == free_after:
        return None
    return "opens" if free_before else "closes"


def quoted_mask(text: str) -> list[bool]:
    """For each character of `text`: is it inside quotes (the marks themselves are not)."""
    spans: list[tuple[int, int]] = []
    open_marks: list[tuple[str, int]] = []  # the mark that closes it, where it opened
    unclosed: list[int] = []

    def close(mark: str, index: int) -> None:
        if not open_marks:
            return
        same_kind = any(expected == mark for expected, _ in open_marks)
        while True:
            expected, start = open_marks.pop()
            if expected == mark or not same_kind:
                spans.append((start + 1, index))
                return
            unclosed.append(start)

    for index, character in enumerate(text):
        if character in _OPENS:
            # “ closes what „ opened (German and Russian handwriting), else it opens.
            if character == "“" and open_marks and text[open_marks[-1][1]] == "„":
                close("”", index)
            else:
                open_marks.append((_OPENS[character], index))
        elif character in _CLOSES:
            close(character, index)
        elif character == _STRAIGHT:
            is_open = any(expected == _STRAIGHT for expected, _ in open_marks)
            does = _faces(text, index) or ("closes" if is_open else "opens")
            if does == "opens":
                open_marks.append((_STRAIGHT, index))
            else:
                close(_STRAIGHT, index)
    unclosed.extend(start for _, start in open_marks)
    starts = [start for start, _ in spans] + [start + 1 for start in unclosed]
    for start in unclosed:
        stop = _SENTENCE_END.search(text, start + 1)
        ends = [other for other in starts if other > start + 1]
        spans.append((start + 1, min([*ends, stop.end() if stop else len(text)])))

    mask = [False] * len(text)
    for start, end in spans:
        mask[start:end] = [True] * (end - start)
    for index, character in enumerate(text):
        if character in _MARKS:
            mask[index] = False
    return mask


def quoted_text(text: str) -> str:
    """What stands inside quotes, everything else blanked."""
    mask = quoted_mask(text)
    return "".join(c if inside else " " for c, inside in zip(text, mask, strict=True))


def unquoted_parts(text: str) -> list[str]:
    """What stands outside quotes: the stretches between the quotations, without the marks."""
    mask = quoted_mask(text)
    blanked = "".join("\0" if inside or c in _MARKS else c for c, inside in zip(text, mask, strict=True))
    return [part for part in blanked.split("\0") if part.strip()]


def quote_counts(prediction: str, *references: str) -> NDArray[np.float64]:
    """Shape (5,): quoted words matched, predicted, expected; edits and expected length in characters.

    All five of one reference: the one of which the caption has most (the highest F1 of the words, then the
    fewest edits), since people who describe a picture do not all write down every word on it.

    Words are compared as `plain_words` (no case, no punctuation, `ё` as `е`), each as often as it occurs. The
    edits are Levenshtein's between the quoted words of both sides, joined by single spaces in the order of
    the captions: reading the blocks in another order costs edits, though it costs no recall.
    """
    return max((_counts(prediction, reference) for reference in references), key=_fit)


def _fit(counts: NDArray[np.float64]) -> tuple[float, float]:
    matched, predicted, expected, edits, _ = counts.tolist()
    return (2 * matched / (predicted + expected) if predicted + expected else 1.0, -edits)


def _counts(prediction: str, reference: str) -> NDArray[np.float64]:
    predicted, expected = plain_words(quoted_text(prediction)), plain_words(quoted_text(reference))
    matched = (Counter(predicted) & Counter(expected)).total()
    predicted_text, expected_text = " ".join(predicted), " ".join(expected)
    return np.array(
        [
            matched,
            len(predicted),
            len(expected),
            Levenshtein.distance(predicted_text, expected_text),
            len(expected_text),
        ],
        dtype=np.float64,
    )

"""ROUGE-L (Lin, 2004): F1 of the longest common subsequence of tokens, the mean over pictures.

Precision and recall weigh the same, as in Google's `rouge-score`; coco-caption's variant weighs recall by
1.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

__all__ = ["rouge_l"]


def rouge_l(prediction: Sequence[str], *references: Sequence[str]) -> float:
    """ROUGE-L of one caption's tokens, 0..1, the best over its references; 0 when either side has none."""
    return max(_rouge_l(prediction, reference) for reference in references)


def _rouge_l(prediction: Sequence[str], reference: Sequence[str]) -> float:
    common = LCSseq.similarity(prediction, reference)
    if common == 0:
        return 0.0
    return 2.0 * common / (len(prediction) + len(reference))

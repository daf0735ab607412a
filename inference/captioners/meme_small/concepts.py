"""What is on a picture, as far as descriptions of other pictures teach it: word detectors.

Fang et al. 2015 (arXiv:1411.4952) put detectors of words before the language model; here one linear layer
over a frozen network's features, with a ridge, is all that some thousands of pictures can feed. It is learnt
by ``python -m train_scripts meme-small``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.captioners.meme_small.memory import Array

_LEAST = 1e-12  # of a vector's length, as torch's normalize has it
_LOWEST = -80  # whose exponential 32 bits still hold
_SEEN, _LAYOUT = 8, 0.3  # scales: so one ridge suits what is seen and the layout


class ConceptDetector:
    """Probabilities of concepts from the mean and the maximum of a grid, the layout, and the words read.

    A concept that the picture also spells out ("кот" among the words read) is likelier: one number,
    ``copied``, learnt for all concepts together.

    ``weights``: of the checkpoint's tensors, by the names under ``detector.``. KeyError: one is missing.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weight, self._bias = weights["linear.weight"].T, weights["linear.bias"]
        self._copied = weights["copied"]
        self._mean, self._scale = weights["layout_mean"], weights["layout_scale"]

    @property
    def concepts(self) -> int:
        """How many it tells apart."""
        return len(self._bias)

    def __call__(self, pooled: Array, layout: Array, spelt: Array) -> Array:
        """Probabilities (n, concepts), float32.

        ``pooled`` (n, 2, width): mean and maximum over the places of what the encoder sees; ``layout``
        (n, LAYOUT_FEATURES); ``spelt`` (n, concepts): 1 where the concept is among the words read.
        """
        length = np.linalg.norm(pooled, axis=-1, keepdims=True)
        seen = (pooled / np.maximum(length, _LEAST)).reshape(len(pooled), -1) * _SEEN
        features = np.concatenate((seen, (layout - self._mean) / self._scale * _LAYOUT), axis=1)
        logits = features.astype(np.float32) @ self._weight + self._bias + self._copied * spelt
        probabilities: Array = 1 / (1 + np.exp(-np.maximum(logits, _LOWEST)))
        return probabilities

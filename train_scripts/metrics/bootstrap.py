"""Bootstrap over pictures (Koehn, 2004): how much of a score is the luck of this set of pictures."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

__all__ = ["interval", "resample_weights"]


def resample_weights(pictures: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Shape (resamples, pictures): how often each picture is drawn, with replacement, in each resample."""
    draws = np.random.default_rng(seed).multinomial(
        pictures, np.full(pictures, 1.0 / pictures), size=resamples
    )
    return draws.astype(np.float64)


def interval(samples: NDArray[np.float64]) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of resampled scores; resamples without a score (NaN) are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all resamples NaN: the interval is NaN too
        low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(low), float(high)

"""A draw against the plain running sum over all tokens."""

from __future__ import annotations

import numpy as np
import pytest

from inference.common.types import DecodingOptions
from inference.decoding.distributions import log_softmax
from inference.decoding.sampling import Sampler


@pytest.mark.parametrize("size", [1, 5, 63, 64, 65, 129, 20_000])
@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_the_token_is_drawn_at_which_the_running_sum_passes_the_share(size: int, temperature: float) -> None:
    random = np.random.default_rng(size)
    logits = random.normal(0, 3, (40, size)).astype(np.float32)
    logits[random.random(logits.shape) < 0.6] = -np.inf  # whole blocks of tokens may be forbidden
    logits[np.arange(40), random.integers(0, size, 40)] = 1
    logprobs = log_softmax(logits)
    drawn = Sampler(DecodingOptions("sample", temperature=temperature), range(40))(logprobs, 0)
    for seed, (row, token) in enumerate(zip(logprobs.astype(np.float64), drawn, strict=True)):
        running = (np.exp(row / temperature) / np.exp(row / temperature).sum()).cumsum()
        share = np.random.Generator(np.random.PCG64(seed)).random()
        assert token == int((running <= share).sum())
        assert np.isfinite(row[token])


def test_the_only_token_there_is_is_drawn_wherever_it_stands() -> None:
    for place in (0, 63, 64, 9_999):
        logprobs = np.full((30, 10_000), -np.inf, np.float32)
        logprobs[:, place] = 0
        drawn = Sampler(DecodingOptions("sample"), range(30))(logprobs, 0)
        assert drawn.tolist() == [place] * 30

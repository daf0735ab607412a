"""Log-probabilities and the likeliest tokens against torch, and against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inference.decoding.decoder import Logits
from inference.decoding.distributions import log_softmax, top

SIZES = [1, 7, 63, 64, 500, 3393, 50257]


def logits_of(vocabulary: int, kind: str) -> Logits:
    """Four rows of logits, as decoders and processors make them."""
    generator = np.random.default_rng(vocabulary)
    logits = (generator.normal(size=(4, vocabulary)) * 5 - 80).astype(np.float32)
    if kind == "ties":
        return np.round(logits / 4)
    if kind == "forbidden":  # all but a tenth, and in the last row all but one
        logits[generator.random(logits.shape) > 0.1] = -np.inf
        logits[:, vocabulary // 2] = 1
        logits[3, : vocabulary // 2] = logits[3, vocabulary // 2 + 1 :] = -np.inf
    if kind == "together":  # the highest are neighbours, and at the very end
        logits[:, -20:] += 200
    return logits


KINDS = ["noise", "ties", "forbidden", "together"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocabulary", SIZES)
def test_log_probabilities_are_torchs(vocabulary: int, kind: str) -> None:
    logits = logits_of(vocabulary, kind)
    before = logits.copy()
    found = log_softmax(logits)
    assert found.dtype == np.float32
    assert np.array_equal(logits, before)
    exact = torch.from_numpy(logits).double().log_softmax(-1).numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)


def test_what_is_no_number_spoils_its_own_row_from_end_to_end() -> None:
    logits = np.zeros((3, 100), np.float32)
    logits[0, 5], logits[2, 99] = np.nan, np.inf
    assert np.isnan(log_softmax(logits)).all(1).tolist() == [True, False, True]
    assert np.isnan(log_softmax(logits)).any(1).tolist() == [True, False, True]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocabulary", SIZES)
@pytest.mark.parametrize("count", [1, 2, 6, 10, 60])
def test_the_highest_are_those_of_a_stable_sort(vocabulary: int, kind: str, count: int) -> None:
    logits = logits_of(vocabulary, kind)
    values, where = top(logits, count)
    expected = [np.lexsort((np.arange(vocabulary), -row))[:count] for row in logits]
    assert np.array_equal(where, expected)
    assert np.array_equal(values, np.take_along_axis(logits, where, 1))
    theirs = torch.from_numpy(logits).topk(min(count, vocabulary)).values
    assert np.array_equal(values, theirs.numpy())

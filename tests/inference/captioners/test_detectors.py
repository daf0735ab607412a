"""Word detectors: what a picture shows leads what is said of it, by PyTorch and by graphs alike."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.captioners.encoder_decoder.detectors import SayWhatIsSeen, WordDetectors
from inference.captioners.encoder_decoder.graphs.captioner import GraphCaptioner
from inference.captioners.encoder_decoder.graphs.writing import write
from inference.captioners.encoder_decoder.known_words import KnownWords, Walk
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import DetectorSettings
from inference.checkpoints.folder import CONFIG_FILE, WEIGHTS_FILE
from inference.checkpoints.format import CheckpointError, read_config
from inference.common.types import DecodingOptions
from inference.decoding.processors import NEVER, NoRepeatNgram
from tests.inference.learning import pictures, tiny
from tests.inference.speaking import speaking
from tests.readings import reading_of

GREEDY = DecodingOptions("greedy", max_tokens=16)
TOKENS = 9


def detectors(
    *,
    strength: float = 1.0,
    least: float = 0.1,
    undetected: float = 4.0,
    tokens: int = TOKENS,
    width: int = 4,
) -> WordDetectors:
    """Three of numbers drawn; the tokens are those of the lemmas in turn, of none and no content word."""
    drawn = np.random.default_rng(0)
    return WordDetectors(
        (drawn.normal(size=(3, width)) / 3).astype(np.float32),
        np.array([0.2, 0.4, 0.3], np.float32),
        np.array([0.1, 0.3, 0.001], np.float32),
        KnownWords.of_tokens((np.arange(tokens) % 5).astype(np.int32)),
        DetectorSettings(3, strength, least, undetected),
    )


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_logit_grows_by_how_much_likelier_the_picture_makes_its_lemma(strength: float) -> None:
    ours = detectors(strength=strength)
    vectors = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32) * 10
    logits = np.random.default_rng(2).normal(size=(6, TOKENS)).astype(np.float32)
    found = ours.processor(vectors, None)(np.full((6, 2), 4, np.int64), logits)
    below = 0
    for row in range(6):
        vector = vectors[row // 3] / math.sqrt(sum(float(x) ** 2 for x in vectors[row // 3]))
        for token in range(TOKENS):
            lemma = token % 5
            added = 0.0
            if lemma == 3:
                added = -4.0
            elif lemma < 3:
                seen = sum(float(a) * float(b) for a, b in zip(ours.weight[lemma], vector, strict=True))
                likely = min(max(seen + float(ours.bias[lemma]), 0.003), 0.95)
                usual = max(float(ours.prior[lemma]), 0.003)
                added = strength * (math.log(likely / (1 - likely)) - math.log(usual / (1 - usual)))
                if likely < 0.1:
                    below, added = below + 1, -4.0
            assert found[row, token] == pytest.approx(logits[row, token] + added, abs=1e-4)
    assert 0 < below < 6 * 6


def test_quotations_are_left_as_they_are() -> None:
    adds = np.array([[1, 2, 0, 0, -30, 0]], np.float32)
    walk = Walk(KnownWords.of_tokens(np.array([0, 1, 3, 3, 3, 3, 3, 3, 3], np.int32)), 2)
    said = np.array([[2, 7, 3], [7, 8, 3], [7, 8, 7]])  # a quotation opened, closed, opened again
    logits = np.zeros((3, TOKENS), np.float32)
    assert SayWhatIsSeen(adds, walk, (7, 8))(said, logits)[:, :3].tolist() == [
        [0, 0, 0],
        [1, 2, 0],
        [0, 0, 0],
    ]
    assert not logits.any()


def test_what_was_said_is_not_raised_again_in_any_of_its_forms() -> None:
    adds = np.array([[1, -3, 2, -5, 0, -30, 0], [4, 4, 4, -5, 0, -30, 0]], np.float32)
    walk = Walk(KnownWords.of_tokens(np.array([0, 0, 1, 2, 3, 4], np.int32)), 3)  # two forms of the first
    said = np.array([[1, 2], [5, 5], [0, 5], [3, 4]])  # two rows of each picture
    found = SayWhatIsSeen(adds, walk, None)(said, np.full((4, 6), 10, np.float32))
    wanted = [
        [10, 10, 7, 12, 5, 10],
        [11, 11, 7, 12, 5, 10],
        [10, 10, 14, 14, 5, 10],
        [14, 14, 14, 10, 5, 10],
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prior": np.zeros(2, np.float32)},
        {"words": KnownWords.of_tokens(np.array([7], np.int32))},
    ],
)
def test_numbers_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not 3"):
        replace(detectors(), **wrong)


def seeing(folder: Path, **settings: float) -> CaptionModel:
    """A checkpoint with detectors, in 16 and 8 bits as those that ship."""
    model = speaking("resnet50-lstm", folder, words="slots")
    width, tokens = model.encoder.widths[0], model.decoder.vocabulary
    model.detect_with(detectors(tokens=tokens, width=width, strength=3, **settings))
    model.save(folder, GREEDY, half=True, int8=("encoder.", "detectors."))
    return CaptionModel.load(folder)


def test_what_the_picture_shows_changes_what_is_said(tmp_path: Path) -> None:
    model = seeing(tmp_path)
    images, readings = pictures(), [reading_of()] * 8
    led, _ = model.describe(images, readings, GREEDY)
    assert model.detectors is not None
    own = model.detectors.arrays()
    model.detect_with(replace(own, weight=-own.weight))
    others, _ = model.describe(images, readings, GREEDY)
    model.detectors = None
    alone, _ = model.describe(images, readings, GREEDY)
    assert led != others
    assert led != alone
    # Where nothing is added, it is as if there were none.
    model.detect_with(replace(own, settings=DetectorSettings(3, 0.0, 0.0, 0.0)))
    assert model.describe(images, readings, GREEDY)[0] == alone


def test_a_word_that_is_not_detected_is_not_said(tmp_path: Path) -> None:
    model = seeing(tmp_path, least=0.96, undetected=1000.0)
    assert model.tokenizer is not None
    with torch.inference_mode():
        said = model.generate(model.encode(pictures()), GREEDY)
    content = [token for tokens in said.tokens for token in tokens if token % 5 < 4]
    assert not content
    assert any(said.tokens)


@pytest.mark.parametrize("options", [GREEDY, DecodingOptions("beam", beams=3, max_tokens=16)])
def test_graphs_say_what_pytorch_says(options: DecodingOptions, tmp_path: Path) -> None:
    model = seeing(tmp_path)
    graphs = tmp_path / "written"
    graphs.mkdir()
    write(model, graphs)
    ours = GraphCaptioner(tmp_path, graphs, read_config(tmp_path), threads=1)
    images, readings = pictures(), [reading_of()] * 8
    texts, likelihoods = ours.describe(images, readings, options)
    told = model.describe(images, readings, options)
    assert texts == told[0]
    np.testing.assert_allclose(likelihoods, told[1], atol=1e-3)
    model.detectors = None
    assert model.describe(images, readings, options)[0] != texts


def test_a_checkpoint_keeps_them_in_8_bits_and_one_without_has_none(tmp_path: Path) -> None:
    model = seeing(tmp_path)
    kept = load_file(tmp_path / WEIGHTS_FILE)
    assert kept["detectors.weight"].dtype == torch.int8
    assert model.detectors is not None
    own, drawn = model.detectors.arrays(), detectors(width=model.encoder.widths[0])
    np.testing.assert_allclose(own.weight, drawn.weight, atol=float(np.abs(drawn.weight).max()) / 127)
    for name in ("bias", "prior", "lemmas"):
        np.testing.assert_allclose(own.tensors()[name][:3], drawn.tensors()[name][:3], atol=1e-3)
    assert own.settings == DetectorSettings(3, 3, 0.1, 4.0)
    model.save(tmp_path / "again", GREEDY, half=True, int8=("encoder.", "detectors."))
    again = CaptionModel.load(tmp_path / "again")
    images, readings = pictures()[:3], [reading_of()] * 3
    assert again.describe(images, readings, GREEDY) == model.describe(images, readings, GREEDY)
    model.detectors = None
    model.save(tmp_path / "without", GREEDY)
    assert "detectors" not in json.loads((tmp_path / "without" / CONFIG_FILE).read_text(encoding="utf-8"))
    assert not any(name.startswith("detectors.") for name in load_file(tmp_path / "without" / WEIGHTS_FILE))
    assert CaptionModel.load(tmp_path / "without").detectors is None


def test_weights_without_the_detectors_that_the_config_names_are_refused(tmp_path: Path) -> None:
    seeing(tmp_path)
    kept = load_file(tmp_path / WEIGHTS_FILE)
    save_file(
        {name: value for name, value in kept.items() if name != "detectors.prior"}, tmp_path / WEIGHTS_FILE
    )
    with pytest.raises(CheckpointError, match=r"detectors\.prior"):
        CaptionModel.load(tmp_path)


def test_an_encoder_of_places_has_no_detectors(tmp_path: Path) -> None:
    model = speaking("mobilenet-soft-attention", tmp_path, tiny("mobilenet-soft-attention"))
    with pytest.raises(ValueError, match="one vector a picture"):
        model.detect_with(detectors(tokens=model.decoder.vocabulary, width=model.encoder.widths[0]))


# Words of pieces, with the detector of each and how often it comes: tokens 0 and 1 are marks, others letters.
PIECES = {
    (2,): (3, 5),  # 3: content that has no detector
    (2, 4): (0, 3),
    (2, 4, 5): (0, 1),
    (2, 5): (1, 4),
    (3, 4): (2, 2),
    (6,): (4, 7),  # 4: no content
    (6, 4): (1, 1),
}
KNOWN = {spelled[:size] for spelled in PIECES for size in range(1, len(spelled) + 1)}
OTHERS = [6, 6, 5, 5, 5, 5, 5, 5]  # 6: a mark; 5: not known
JOINING = {4, 5}


def worth(spelled: tuple[int, ...], adds: Mapping[int, float], unsaid: tuple[int, ...]) -> float:
    """What the words that these tokens begin get on average; the word ``unsaid`` as one that is not known."""
    begun = [word for word in PIECES if word[: len(spelled)] == spelled]
    if not begun:
        return adds[OTHERS[spelled[0]]]
    total = sum(PIECES[word][1] * math.exp(adds[5 if word == unsaid else PIECES[word][0]]) for word in begun)
    return math.log(total / sum(PIECES[word][1] for word in begun))


def added_behind(said: Sequence[int], raised: Sequence[float]) -> list[float]:
    """What the words of a sentence say is to be added to each token behind it."""
    adds = {**dict(enumerate(raised)), 3: -4.0, 4: 0.0, 5: -30.0, 6: 0.0}
    words: list[tuple[int, ...]] = []
    for token in said:
        goes_on = bool(words) and words[-1][0] > 1 and token in JOINING
        words = [*words[:-1], (*words[-1], token)] if goes_on else [*words, (token,)]
    *before, last = words or [(0,)]
    for word in before:
        if word in PIECES:
            adds[PIECES[word][0]] = min(adds[PIECES[word][0]], 0)
    after = dict(adds)
    if last in PIECES:
        after[PIECES[last][0]] = min(after[PIECES[last][0]], 0)
    again = before[-1] if before else ()
    own = PIECES[last][0] if last in PIECES and last != again else 5
    inside = last[0] > 1
    lost = inside and last not in KNOWN and len(last) > 1
    found = []
    for token in range(8):
        if inside and (*last, token) in KNOWN:
            found.append(worth((*last, token), adds, again) - worth(last, adds, again))
        elif inside and token in JOINING:
            found.append(0.0 if lost else adds[5] - worth(last, adds, again))
        else:
            left = adds[own] - worth(last, adds, again) if inside and not lost else 0.0
            found.append(left + worth((token,), after, last))
    return found


def pieces() -> Walk:
    return Walk(KnownWords.of_pieces(PIECES, OTHERS, 3), 3)


def test_a_phrase_ends_before_a_word_that_would_say_it_again_not_within_it() -> None:
    said = np.array([[6, 3, 4, 6, 3], [3, 4, 6, 3, 4]])
    words = KnownWords.of_pieces(PIECES, OTHERS, 3)
    assert words.joining == [4, 5]
    left = NoRepeatNgram(3, frozenset(words.joining))(said, np.zeros((2, 8), np.float32))
    # 4 goes on with a word, though 6, 3, 4 were said; 6 begins one behind 3, 4.
    assert (left == NEVER).tolist() == [[False] * 8, [token == 6 for token in range(8)]]
    assert (NoRepeatNgram(3)(said, np.zeros((2, 8), np.float32))[0] == NEVER).nonzero()[0].tolist() == [4]


def test_a_piece_gets_what_the_words_get_that_it_may_become() -> None:
    raised = [2.0, -4.0, 1.5]
    lead = SayWhatIsSeen(np.array([[*raised, -4, 0, -30, 0]], np.float32), pieces(), None)
    for length in range(5):
        said = list(itertools.product([0, 2, 3, 4, 5, 6, 7], repeat=length))
        found = lead(np.array(said, np.int64).reshape(len(said), length), np.ones((len(said), 8), np.float32))
        wanted = [added_behind(row, raised) for row in said]
        np.testing.assert_allclose(found - 1, wanted, atol=1e-4)


def test_no_word_is_said_twice_in_a_row_whatever_its_pieces() -> None:
    lead = SayWhatIsSeen(np.array([[2.0, -4.0, 1.5, -4, 0, -30, 0]], np.float32), pieces(), None)

    def added(*said: int) -> float:
        """To the logits of all tokens of a sentence together."""
        rows = [(said[:size], said[size]) for size in range(len(said))]
        return sum(float(lead(np.array([own]), np.zeros((1, 8), np.float32))[0, one]) for own, one in rows)

    # 2, 4 is raised by 2, once.
    assert added(6, 2, 4, 2, 4, 0) < -25
    assert added(6, 2, 4, 2, 4, 5, 0) == pytest.approx(2, abs=1e-4)  # another word that begins alike
    assert added(6, 2, 4, 0, 2, 4, 0) == pytest.approx(2, abs=1e-4)  # behind a mark
    assert added(2, 4, 6, 2, 4, 0) == pytest.approx(2, abs=1e-4)  # behind another word


@pytest.mark.parametrize("word", PIECES)
def test_a_word_gets_as_much_whatever_its_pieces(word: tuple[int, ...]) -> None:
    adds = np.array([[2.0, -4.0, 1.5, -4, 0, -30, 0]], np.float32)
    lead = SayWhatIsSeen(adds, pieces(), None)
    said = [1, *word, 0]  # a mark behind it shows that it ends there
    each = [
        lead(np.array([said[:size]]), np.zeros((1, 8), np.float32))[0, said[size]]
        for size in range(1, len(said))
    ]
    assert sum(each) == pytest.approx(adds[0, PIECES[word][0]], abs=1e-4)

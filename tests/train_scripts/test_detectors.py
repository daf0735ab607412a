"""Word detectors fitted to captions: by ridge regression, at the end of a run or to its checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.__main__ import app as inference_commands
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.format import read_training
from inference.common.errors import UserError
from inference.common.types import DecodingOptions
from inference.tokenizers.words import WordTokenizer
from tests.inference.learning import CAPTIONS, pictures, train_bpe
from tests.readings import reading_of
from tests.train_scripts.drawn_data import drawn_data, small_config
from train_scripts.__main__ import app
from train_scripts.language_model.train import LanguageModelRecipe, Text, train_language_model
from train_scripts.training.config import DetectorConfig, load_config
from train_scripts.training.data import TrainRow
from train_scripts.training.detecting import fit
from train_scripts.training.run import train

pytestmark = pytest.mark.filterwarnings("ignore:.*")

WANTED = {"lemmas": 6, "ridge": 0.01}


def rows_of(texts: list[str]) -> list[TrainRow]:
    return [TrainRow(Path(f"{i}.png"), f"{i}.png", text, 1.0, "") for i, text in enumerate(texts)]


def test_the_weights_are_those_of_ridge_regression() -> None:
    texts = [
        "Красный круг на белом фоне.",
        "Красные круги: «квадрат».",
        "Синий квадрат.",
        "Синий круг и синие квадраты.",
        "Мем.",
    ]
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    tokenizer = WordTokenizer.from_captions([*texts, "Зелёных кругов квадратом на"])
    vocabulary = len(tokenizer) + 2  # a decoder may have more
    found = fit(vectors, rows_of(texts), tokenizer, vocabulary, DetectorConfig(lemmas=3, ridge=0.3))
    # круг, квадрат, синий, красный come 3, 2, 2 and 2 times: of equal ones the first in the alphabet.
    named = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]], np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    # As plain least squares: the penalty is rows that want a weight to be 0, the intercept a column of ones.
    penalty = np.hstack([np.sqrt(0.3) * np.eye(8), np.zeros((8, 1))])
    design = np.vstack([np.hstack([unit, np.ones((5, 1))]), penalty])
    solved, *_ = np.linalg.lstsq(design, np.vstack([named, np.zeros((8, 3))]), rcond=None)
    np.testing.assert_allclose(found.weight, solved[:8].T, atol=1e-5)
    np.testing.assert_allclose(found.bias, solved[8], atol=1e-5)
    np.testing.assert_allclose(found.prior, named.mean(0), atol=1e-6)
    predicted = np.clip(unit @ solved[:8] + solved[8], 0.003, 0.95)
    np.testing.assert_allclose(found.likely(7 * vectors), predicted, atol=1e-5)
    of_word = {word: found.words.lemmas[token] for token, word in enumerate(tokenizer.words)}
    assert {of_word[word] for word in ("круг", "круги", "кругов")} == {0}
    assert {of_word[word] for word in ("квадрат", "квадраты", "квадратом")} == {1}
    assert {of_word[word] for word in ("красный", "красные")} == {2}
    assert {of_word[word] for word in ("синий", "зелёных", "фоне")} == {3}  # content, not among the three
    assert {of_word[word] for word in ("на", "и", ".", "мем", "<start>")} == {4}
    assert found.words.lemmas[len(tokenizer) :].tolist() == [4, 4]


def test_a_run_ends_with_them_and_the_command_fits_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    drawn_data(folder)
    changes = {"int8": ["detectors."], "stage": {"epochs": 2}}
    made = train(load_config(small_config(folder, detectors=WANTED, **changes)), tmp_path / "run")
    model = CaptionModel.load(made)
    assert model.detectors is not None
    by_run = model.detectors.arrays()
    assert read_training(made).training["detectors"]["lemmas"] == 6
    named, content = (by_run.words.lemmas < 6), (by_run.words.lemmas < 7)
    assert 6 <= named.sum() < content.sum()

    recipe = small_config(folder, **changes)
    plain = train(load_config(recipe), tmp_path / "plain")
    assert CaptionModel.load(plain).detectors is None
    command = ["detectors", "model", "--config", str(recipe), "--models-dir", str(plain.parent)]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "says nothing of detectors" in refused.output) == (1, True)
    settings = [f"--set=detectors.{key}={value}" for key, value in WANTED.items()]
    done = CliRunner().invoke(app, [*command, *settings])
    assert done.exit_code == 0, done.output
    refitted = CaptionModel.load(plain)
    assert refitted.detectors is not None
    by_command = refitted.detectors.arrays()
    for name, value in by_run.tensors().items():
        np.testing.assert_allclose(by_command.tensors()[name], value, atol=1e-3, err_msg=name)
    record = read_training(plain)
    assert record.training["detectors"] == read_training(made).training["detectors"]
    assert not record.scores
    exported = CliRunner().invoke(inference_commands, ["export", "model", "--models-dir", str(plain.parent)])
    assert (exported.exit_code, "the same tokens as PyTorch" in exported.output) == (0, True), exported.output


def test_words_of_pieces_are_those_of_captions_outside_quotations(tmp_path: Path) -> None:
    texts = [*CAPTIONS, 'Чёрно-белый круг, круг (круг) и "тайна".', 'Чёрно-белый круг: "тайна", 100 %.']
    tokenizer = train_bpe(texts, tmp_path)
    tokenizer.add_slots(4)
    vocabulary = len(tokenizer) + 2
    vectors = np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)
    wanted = DetectorConfig(lemmas=2, seldom=1)
    words = fit(vectors, rows_of(texts), tokenizer, vocabulary, wanted).words
    assert words.vocabulary == vocabulary
    spelled: dict[str, tuple[int, float]] = {}
    path: list[int] = []
    for lemma, token, depth, count in zip(
        words.lemmas, words.tokens, words.depths, words.counts, strict=True
    ):
        path[depth:] = [int(token)]
        if lemma < 4:
            known = tokenizer.tokenizer.decode(path)
            assert tokenizer.encode(known) == path
            spelled[known] = (int(lemma), float(count))
    # круг, белый and полоса come in 5, 3 and 3 captions; what comes once is not known.
    assert spelled[" круг"] == (0, 6)
    assert spelled[" на"] == (3, 3)
    assert spelled["Чёрно-белый"] == (2, 2)
    assert {word for word in spelled if "круг" in word.lower()} == {" круг"}
    assert not {word for word in spelled if "тайна" in word}
    of_token = dict(
        zip(words.tokens[words.depths == 0].tolist(), words.lemmas[words.depths == 0], strict=True)
    )
    assert {int(of_token[token]) for token in (*tokenizer.slots, *(tokenizer.marks or ()))} == {5}
    assert {int(of_token[token]) for token in tokenizer.encode(". 100 %,")} == {5}
    assert {int(of_token[token]) for token in (tokenizer.pad, vocabulary - 1)} == {5}
    usual = fit(vectors, rows_of(texts), tokenizer, vocabulary, wanted.model_copy(update={"usual": 3})).words
    changed = words.lemmas != usual.lemmas
    assert {*words.lemmas[changed]} == {3}
    assert {*usual.lemmas[changed]} == {2}
    assert {word for word, (lemma, count) in spelled.items() if lemma == 3 and count >= 3} == {" на"}
    assert changed.sum() == (words.lemmas == 3).sum() - 1 > 0
    (letter,) = tokenizer.encode("щ")[:1]  # the first half of a letter
    assert of_token[letter] == 4


def test_a_captioner_of_pieces_says_known_words_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    drawn_data(folder)
    spoken = tmp_path / "spoken"
    sizes = LanguageModelRecipe(vocabulary=330, width=16, layers=1, heads=2, positions=96, meme_epochs=2)
    texts = [(Text(text), Text(text)) for text in CAPTIONS]
    train_language_model(spoken, CAPTIONS, texts, CAPTIONS, sizes)
    recipe = small_config(
        folder,
        preset="clipcap-small",
        language_model=str(spoken / "model"),
        decoder={"pictures": [512], "width": 16, "layers": 1, "heads": 2, "positions": 96},
        vectors=None,
        words="none",
        detectors={"lemmas": 3, "ridge": 0.01, "seldom": 0},
        decoding={"max_tokens": 40},
        half=True,
        int8=["detectors."],
        stage={"epochs": 2},
    )
    made = train(load_config(recipe), tmp_path / "run")
    model = CaptionModel.load(made)
    drawing = DecodingOptions("sample", max_tokens=40, min_tokens=40, seed=0)
    said, _ = model.describe(pictures(), [reading_of()] * 8, drawing)
    letters = re.compile(r"[А-Яа-яё]+")
    known = {word for text in CAPTIONS for word in letters.findall(text.lower())}
    words = [word for text in said for word in letters.findall(text.lower())[:-1]]  # the last one may be cut
    assert len(words) > 12
    assert set(words) <= known
    assert model.detectors is not None
    model.detectors = None
    free, _ = model.describe(pictures(), [reading_of()] * 8, drawing)
    assert not {word for text in free for word in letters.findall(text.lower())} <= known
    exported = CliRunner().invoke(inference_commands, ["export", "model", "--models-dir", str(made.parent)])
    assert (exported.exit_code, "the same tokens as PyTorch" in exported.output) == (0, True), exported.output


def test_what_cannot_have_them_says_so_before_it_learns(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    drawn_data(folder)
    settings = {"kind": "resnet34", "preprocessing": {"size": 64}}
    trained = {"weights": "random", "settings": {**settings, "trainable_stages": 1}}
    config = load_config(small_config(folder, detectors=WANTED, encoder=trained))
    with pytest.raises(UserError, match="leave detectors out"):
        train(config, tmp_path / "run")


def test_captions_that_name_nothing_give_none() -> None:
    tokenizer = WordTokenizer.from_captions(CAPTIONS)
    with pytest.raises(UserError, match="names anything"):
        fit(np.ones((1, 2), np.float32), rows_of(["Мем."]), tokenizer, len(tokenizer), DetectorConfig())

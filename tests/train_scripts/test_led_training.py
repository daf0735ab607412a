"""A decoder that learns with its word detectors: its loss is of the logits that it speaks by."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.captioners.building import build
from inference.captioners.encoder_decoder.detectors import WordDetectors
from inference.captioners.encoder_decoder.known_words import KnownWords
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import DetectorSettings
from inference.captioners.encoder_decoder.speaking import lines_of
from inference.checkpoints.format import read_training
from inference.common.errors import UserError
from inference.common.types import DecodingOptions
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.tokenizers.words import WordTokenizer
from tests.inference.speaking import seen_by_a_small_tower
from tests.readings import reading_of
from tests.train_scripts.drawn_data import drawn_data, small_config
from train_scripts.training.config import DetectorConfig, load_config
from train_scripts.training.data import TrainRow
from train_scripts.training.detecting import apart
from train_scripts.training.loop import Training, accelerator_of
from train_scripts.training.objective import Objective, sampled_logits
from train_scripts.training.run import train

pytestmark = pytest.mark.filterwarnings("ignore:.*")

TEXTS = [
    'Красный круг, надпись "<line0>", красный круг.',
    'Синий квадрат: "<line1> <line0>". Круги.',
    "Синий круг.",
]
# круг, круги; красный, which is not detected; квадрат; синий is content without a detector.
LEMMAS = {"круг": 0, "круги": 0, "красный": 1, "квадрат": 2, "синий": 3, "надпись": 3}


def lines(*texts: str) -> list[TextLine]:
    return [TextLine(text, (0.1, 0.1 * i, 0.9, 0.1 * i + 0.05), 0.9, i) for i, text in enumerate(texts)]


READ = [reading_of(lines("УРА", "НЕТ")), reading_of(lines("УРА", "ДА")), reading_of()]


def led_model() -> CaptionModel:
    torch.manual_seed(0)
    tokenizer = WordTokenizer.from_captions(TEXTS, slots=2)
    model = build(seen_by_a_small_tower("resnet50-lstm"), tokenizer=tokenizer, words="slots").eval()
    drawn = np.random.default_rng(0)
    width = model.encoder.widths[0]
    of_token = [LEMMAS.get(word, 4) for word in tokenizer.words]
    model.detect_with(
        WordDetectors(
            (drawn.normal(size=(3, width)) / 3).astype(np.float32),
            np.array([0.4, -9.0, 0.5], np.float32),
            np.array([0.1, 0.3, 0.6], np.float32),
            KnownWords.of_tokens(np.array(of_token, np.int32)),
            DetectorSettings(3, 2.0, 0.1, 4.0),
        )
    )
    return model


def added_by_hand(model: CaptionModel, vector: np.ndarray, said: list[int]) -> list[float]:
    """To the logit of each token behind those said, by plain arithmetic."""
    assert model.detectors is not None
    assert isinstance(model.tokenizer, WordTokenizer)
    ours, words = model.detectors.arrays(), model.tokenizer.words
    before = [words[token] for token in said]
    if before.count("``") > before.count("''"):
        return [0.0] * len(words)
    unit = vector / math.sqrt(float((vector**2).sum()))
    found = []
    for word in words:
        lemma, added = LEMMAS.get(word, 4), 0.0
        if lemma == 3:
            added = -4.0
        elif lemma < 3:
            likely = min(max(float(unit @ ours.weight[lemma]) + float(ours.bias[lemma]), 0.003), 0.95)
            usual = float(ours.prior[lemma])
            added = 2 * (math.log(likely / (1 - likely)) - math.log(usual / (1 - usual)))
            added = -4.0 if likely < 0.1 else added
        if lemma in {LEMMAS.get(one, 4) for one in before}:
            added = min(added, 0.0)
        found.append(added)
    return found


def losses_by_hand(model: CaptionModel, memory: torch.Tensor, tokens: Any, targets: Any) -> torch.Tensor:
    """Of each sentence (n,), token by token from the logits of single steps."""
    sums = []
    for row in range(len(memory)):
        state, total = model.decoder.start(memory[row : row + 1]), torch.zeros(())
        said: list[int] = []
        for token, target in zip(tokens[row].tolist(), targets[row].tolist(), strict=True):
            logits, state = model.decoder.step(state, torch.tensor([token]))
            if target < 0:
                continue
            added = torch.tensor(added_by_hand(model, memory[row].numpy(), said))
            total = total - (logits[0] + added).log_softmax(-1)[target]
            said.append(target)
        sums.append(total)
    return torch.stack(sums)


def test_the_loss_is_of_the_decoders_logits_and_what_detectors_add_to_each() -> None:
    model = led_model()
    memory = torch.from_numpy(np.random.default_rng(1).normal(size=(3, model.encoder.widths[0]))).float()
    batch = model.batch([text.replace("<line0>", "УРА").replace("<line1>", "ДА") for text in TEXTS], READ)
    by_hand = losses_by_hand(model, memory, batch.tokens, batch.targets)
    counted = int((batch.targets >= 0).sum())
    loss = model.loss(memory, batch)
    assert float(loss) == pytest.approx(float(by_hand.sum()) / counted, rel=1e-5)
    loss.backward()
    found = [one.grad.clone() for one in model.decoder.parameters() if one.grad is not None]
    model.zero_grad()
    (by_hand.sum() / counted).backward()
    wanted = [one.grad for one in model.decoder.parameters() if one.grad is not None]
    assert len(found) == len(wanted) > 4
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    # What training wraps takes what the batch has, with weights.
    led = model.led(batch, model.speaker.leading(memory.numpy()))
    weighted = Objective(model)(memory, led, (1.0, 0.0, 2.0))
    assert float(weighted) == pytest.approx(float(by_hand[0] + 2 * by_hand[2]), rel=1e-5)
    sampled = sampled_logits(model.decoder, memory, led, 1.0)
    torch.testing.assert_close(sampled, model.decoder(memory, batch.tokens) + led.added)
    model.detectors = None
    assert float(model.loss(memory, batch)) != pytest.approx(float(loss), rel=1e-2)


def test_a_word_that_is_kept_from_being_said_is_not_learned() -> None:
    model = led_model()
    batch = model.batch(TEXTS)
    (kept,) = model.speaker.cutter().encode("круг")
    others = batch.targets != kept

    def keep(tokens: np.ndarray, logits: np.ndarray) -> np.ndarray:
        lowered = logits.copy()
        lowered[:, kept] -= 30
        lowered[:, model.special.eos] -= 4  # said seldom, but said
        return lowered

    led = model.led(batch, [keep])
    assert (~others).sum() == 3
    assert (led.targets[others] == batch.targets[others]).all()
    assert (led.targets[~others] == -100).all()
    assert (led.tokens == batch.tokens).all()


@pytest.mark.parametrize("readings", [READ, None])
def test_a_sample_is_as_likely_to_the_loss_as_it_was_when_it_was_drawn(
    readings: list[Reading] | None,
) -> None:
    """With detectors, words that are never said, lines that were not read, and what quotations may hold."""
    model = led_model()
    memory = torch.from_numpy(np.random.default_rng(2).normal(size=(3, model.encoder.widths[0]))).float()
    drawing = DecodingOptions(strategy="sample", max_tokens=12)
    generated = model.generate(memory, drawing, readings, seeds=[1, 2, 3])
    leading = model.speaker.leading(memory.numpy())
    rules = model.speaker.rules(model.decoder.vocabulary, lines_of(readings, 3), read=readings is not None)
    plain = model.batch_of(generated, readings)
    batch = model.led(plain, [*leading, *rules])
    losses = model.decoder.token_losses(memory, batch.tokens, batch.targets, batch.added).sum(1)
    np.testing.assert_allclose(losses.detach().numpy(), [-one for one in generated.logprobs], rtol=1e-4)
    alone = model.decoder.token_losses(memory, plain.tokens, plain.targets).sum(1)
    assert (losses - alone).abs().min() > 1e-3
    losses.sum().backward()
    assert all(one.grad.isfinite().all() for one in model.decoder.parameters() if one.grad is not None)


def rows_of(texts: list[str], pictures: list[str]) -> list[TrainRow]:
    return [TrainRow(Path(name), name, text, 1.0, "") for text, name in zip(texts, pictures, strict=True)]


def test_each_picture_is_seen_by_detectors_that_were_not_fitted_to_it() -> None:
    texts = ["Красный круг.", "Круги.", "Синий квадрат.", "Синий круг и квадраты.", "Мем.", "Квадрат."]
    rows = rows_of(texts, ["a", "b", "c", "d", "e", "a"])
    drawn = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    vectors = drawn[[0, 1, 2, 3, 4, 0]]
    found = apart(vectors, rows, DetectorConfig(lemmas=2, ridge=0.3, folds=9))
    assert {str(path) for path in found} == {*"abcde"}
    # квадрат and круг come 3 times each; as many folds as pictures leave out one of them.
    named = np.array([[0, 1], [0, 1], [1, 0], [1, 1], [0, 0], [1, 0]], np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    penalty = np.hstack([np.sqrt(0.3) * np.eye(4), np.zeros((4, 1))])
    for picture, likely in found.items():
        others = np.array([row.picture != picture for row in rows])
        design = np.vstack([np.hstack([unit[others], np.ones((others.sum(), 1))]), penalty])
        wanted = np.vstack([named[others], np.zeros((4, 2))])
        solved, *_ = np.linalg.lstsq(design, wanted, rcond=None)
        own = unit[~others][0] @ solved[:4] + solved[4]
        np.testing.assert_allclose(likely, np.clip(own, 0.003, 0.95), atol=1e-5)
    with pytest.raises(UserError, match="One picture has no other folds"):
        apart(drawn[:1], rows[:1], DetectorConfig())


LED: dict[str, Any] = {"lemmas": 6, "ridge": 0.01, "before": "then", "folds": 4}


def two_stages(folder: Path) -> Path:
    stage = {"data": ["drawn"], "batch": 4, "optimizer": {"rate": 0.003}, "clip": 5}
    stages = {"first": {**stage, "epochs": 2}, "then": {**stage, "epochs": 3}}
    return small_config(folder, stages=stages, detectors=LED)


def test_a_stage_learns_with_what_the_detectors_of_other_folds_see(tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    config = load_config(two_stages(tmp_path / "data"))
    folder = train(config, tmp_path / "run")
    model = CaptionModel.load(folder)
    assert model.detectors is not None
    assert read_training(folder).training["detectors"]["before"] == "then"

    training = Training(config, tmp_path / "other", resume=False, accelerator=accelerator_of(config))
    plain = training.inputs.parts("first", range(4), "seed")[0]
    assert plain.batch.added is None
    training.progress.stage = 1
    training._lead()
    (part,) = training.inputs.parts("then", range(4), "seed")
    assert part.batch.added is not None
    known = training.inputs.apart
    assert {row.picture for row in part.rows} <= {*known}
    fitted = model.detectors.arrays()
    assert isinstance(part.memory, torch.Tensor)
    in_sample = fitted.likely(part.memory.numpy())
    out_of_fold = np.stack([known[row.picture] for row in part.rows])
    assert np.abs(in_sample - out_of_fold).max() > 0.05
    leading = fitted.leading(out_of_fold, None)
    nothing = np.empty((4, 0), np.int64)
    np.testing.assert_allclose(
        part.batch.added[:, 0].numpy(),
        leading(nothing, np.zeros((4, model.decoder.vocabulary), np.float32)),
        atol=2e-2,  # of a checkpoint's 16 bits
    )
    training.pool.shutdown()

    written = (folder / "model.safetensors").read_bytes()
    again = train(config, tmp_path / "run", resume=True)  # whose stages are all done
    assert (again / "model.safetensors").read_bytes() == written


def test_detectors_before_a_stage_that_is_not_there_are_refused(tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    with pytest.raises(UserError, match="names the stage 'last', which there is not"):
        load_config(two_stages(tmp_path / "data"), ["detectors.before=last"])

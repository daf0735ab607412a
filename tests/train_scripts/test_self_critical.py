"""Self-critical training: what a caption is worth, which gradient a step takes, and that captions improve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from inference.common.errors import UserError
from inference.common.types import DecodingOptions
from inference.reading.words import Word
from inference.tokenizers.base import slots_of
from tests.train_scripts.drawn_data import SMALL_DECODER, drawn_data, small_config
from train_scripts.meme_small.readings import kept_words
from train_scripts.metrics.evaluator import evaluate
from train_scripts.metrics.tokens import word_tokens
from train_scripts.pictures import open_picture
from train_scripts.training.config import RewardConfig, load_config
from train_scripts.training.inputs import Part
from train_scripts.training.loop import Training, accelerator_of
from train_scripts.training.objective import Objective
from train_scripts.training.rewards import REWARDS, Rewards
from train_scripts.training.run import train
from train_scripts.training.self_critical import advantages, sampled

pytestmark = pytest.mark.filterwarnings("ignore:.*")

REFERENCES = {
    "a": ["Кот сидит на диване и смотрит на рыбку."],
    "b": ["Мужчина держит телефон.", 'Человек с телефоном, надпись "привет".'],
    "c": ["На снегу стоит собака."],
}
SAID = {"a": "Кот смотрит на собаку.", "b": "Мужчина с телефоном и котом.", "c": "Снег. На снегу стоит кот."}


@pytest.mark.parametrize("key", ["meteor", "rouge_l", "cider_d"])
def test_a_reward_is_the_evaluators_score_of_the_caption(key: str) -> None:
    rows = evaluate(SAID, REFERENCES, resamples=1).rows
    worth = Rewards({key: 1.0}, REFERENCES)([*SAID.values()], [*SAID])
    assert worth.tolist() == pytest.approx([row[key] for row in rows])
    assert worth.any()


def test_the_bleu_of_a_caption_is_smoothed() -> None:
    worth = Rewards({"bleu4": 1.0}, REFERENCES)([*SAID.values()], [*SAID])
    tokens = {name: [word_tokens(text) for text in texts] for name, texts in REFERENCES.items()}
    smooth = SmoothingFunction().method2
    wanted = [
        sentence_bleu(tokens[name], word_tokens(text), smoothing_function=smooth)
        for name, text in SAID.items()
    ]
    assert worth.tolist() == pytest.approx(wanted)


def test_things_that_are_right_and_wrong_are_counted_and_weighed() -> None:
    """кот, смотреть; мужчина, телефон, but no кот; снег, стоять, but no кот: of the lemmas said."""
    counts = {
        key: Rewards({key: 1.0}, REFERENCES)([*SAID.values()], [*SAID]).tolist()
        for key in ("content_right", "content_wrong", "repeated")
    }
    assert counts == {"content_right": [2, 2, 2], "content_wrong": [1, 1, 1], "repeated": [0, 0, 0]}
    both = Rewards({"content_right": 0.5, "content_wrong": -2.0, "repeated": -1.0}, REFERENCES)
    assert both(["Кот. Рука.", "на снегу стоит кто, на снегу стоит кто"], ["a", "c"]).tolist() == [-1.5, 0.0]


def test_a_sample_is_measured_against_the_others_of_its_picture() -> None:
    rewards = np.random.default_rng(0).normal(size=(3, 4))
    found = advantages(rewards)
    for row, own in zip(rewards.tolist(), found.tolist(), strict=True):
        for i, value in enumerate(own):
            others = [worth for j, worth in enumerate(row) if j != i]
            assert value == pytest.approx(row[i] - sum(others) / len(others))


def training_of(tmp_path: Path, **stage: Any) -> Training:
    """Of the drawn pictures, on each of which a word was read; nothing is dropped: losses are certain."""
    folder = tmp_path / "data"
    names = dict.fromkeys(row["file_name"] for row in drawn_data(folder))
    word = [Word("УРА", (0.2, 0.1, 0.6, 0.2), 0.99, 0)]
    rows = [kept_words(name, open_picture(folder / name), word) for name in names]
    readings = tmp_path / "readings.jsonl"
    readings.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = small_config(
        folder,
        words="slots",
        readings={"drawn": str(readings)},
        decoder={**SMALL_DECODER, "batchnorm": False},
        decoding={"max_tokens": 12},
        stage={"batch": 8, "unread": 0.5, "reward": {"weights": {"rouge_l": 1}}, **stage},
    )
    config = load_config(path)
    return Training(config, tmp_path / "run", resume=False, accelerator=accelerator_of(config))


def gradient(training: Training) -> list[torch.Tensor]:
    found = [one.grad.clone() for one in training.model.decoder.parameters() if one.grad is not None]
    training.model.zero_grad()
    return found


def test_the_gradient_is_that_of_reinforce_with_the_others_as_baseline(tmp_path: Path) -> None:
    """Computed once more: token by token, from the logits of single steps, a sentence at a time."""
    training = training_of(tmp_path)
    model, inputs = training.model, training.inputs
    rewards = inputs.rewards("drawn")
    assert rewards is not None
    (part,) = inputs.parts("drawn", range(8), "seed")
    assert len({*part.read}) == 2
    config = RewardConfig(weights={"rouge_l": 1.0}, samples=3)
    (drawn,), mean = sampled(part, inputs, rewards, config, options=training.options, seed="draw")
    assert len(drawn.rows) == 3 * 8
    Objective(model)(drawn.memory, drawn.batch, drawn.weights).backward()
    found = gradient(training)

    total, worths = torch.zeros(()), []
    slots = slots_of(model.speaker.cutter())
    # What no sample could be drawn with: unknown words, and all lines but the one that was read.
    never = {True: [*model.special.forbidden, *slots[1:]], False: [*model.special.forbidden, *slots]}
    bos, eos = model.special.bos, model.special.eos
    for first in range(0, len(drawn.rows), 3):
        chances, texts = [], []
        for i in range(first, first + 3):
            tokens, targets = drawn.batch.tokens[i].tolist(), drawn.batch.targets[i].tolist()
            state = model.decoder.start(drawn.memory[i : i + 1])
            chance, said = torch.zeros(()), []
            for token, target in zip(tokens, targets, strict=True):
                logits, state = model.decoder.step(state, torch.tensor([token]))
                if target >= 0:
                    logits[0, never[drawn.read[i]]] = -torch.inf
                    chance = chance + logits.log_softmax(-1)[0, target]
                    said.append(target)
            given = [bos, slots[0], bos] if drawn.read[i] else [bos, bos]
            assert tokens[: len(given)] == given
            assert len(said) <= 12
            text = model.speaker.cutter().decode(said)
            if said[-1] != eos and "." in text:  # what was cut short is shown by its whole sentences
                text = text[: text.rindex(".") + 1]
            readings = inputs.readings_of([drawn.rows[i]])
            if drawn.read[i] and readings is not None:
                text = text.replace("<line0>", readings[0].lines[0].quote)
            assert eos not in said[:-1]
            chances.append(chance)
            texts.append(text)
        worth = rewards(texts, [str(row.picture) for row in drawn.rows[first : first + 3]])
        worths += worth.tolist()
        for i, chance in enumerate(chances):
            baseline = (worth.sum() - worth[i]) / 2
            total = total - (worth[i] - baseline) * chance
    total.backward()
    assert mean == pytest.approx(float(np.mean(worths)))
    assert any(weight != 0 for weight in drawn.weights)
    for one, other in zip(found, gradient(training), strict=True):
        assert torch.allclose(one, other, atol=1e-5), (one - other).abs().max()
    training.pool.shutdown()


def test_samples_are_the_same_in_every_process_and_others_in_every_step(tmp_path: Path) -> None:
    training = training_of(tmp_path)
    inputs, config = training.inputs, RewardConfig(weights={"rouge_l": 1.0}, samples=2)
    rewards = inputs.rewards("drawn")
    assert rewards is not None
    (part,) = inputs.parts("drawn", range(8), "seed")

    def tokens(seed: str) -> list[list[int]]:
        (drawn,), _ = sampled(part, inputs, rewards, config, options=DecodingOptions(max_tokens=5), seed=seed)
        return drawn.batch.tokens.tolist()

    assert tokens("one") == tokens("one") != tokens("two")
    assert training.model.training
    training.pool.shutdown()


def test_the_captions_themselves_count_beside_as_much_as_the_recipe_says(tmp_path: Path) -> None:
    training = training_of(tmp_path)
    config = RewardConfig(weights={"rouge_l": 1.0}, samples=2, likelihood=0.25)
    rewards = training.inputs.rewards("drawn")
    assert rewards is not None
    (part,) = training.inputs.parts("drawn", range(8), "seed")
    parts, _ = sampled(part, training.inputs, rewards, config, options=training.options, seed="draw")
    true: Part = parts[1]
    assert true.weights == (0.25,) * 8
    assert torch.equal(true.batch.targets, part.batch.targets)
    training.pool.shutdown()


def test_captions_become_worth_more(tmp_path: Path) -> None:
    """From what cross entropy left; the best weights are those whose captions are worth most."""
    data = tmp_path / "data"
    drawn_data(data)
    stage = {"data": ["drawn"], "batch": 8, "optimizer": {"rate": 0.003}, "clip": 5}
    rewarded = {"reward": {"weights": {"rouge_l": 1}, "samples": 8}, "metric": "reward"}
    stages = {
        "first": {**stage, "epochs": 12},
        "then": {**stage, "epochs": 40, "validate_every": 10, **rewarded},
    }
    config = load_config(small_config(data, stages=stages, decoding={"max_tokens": 12}))
    train(config, tmp_path / "run")
    steps, epochs = (
        [json.loads(line) for line in (tmp_path / "run" / name).read_text(encoding="utf-8").splitlines()]
        for name in ("steps.jsonl", "epochs.jsonl")
    )
    worth = [row["reward"] for row in steps if row["stage"] == "then"]
    assert len(worth) == 40
    assert np.mean(worth[-5:]) > np.mean(worth[:5]) + 0.1
    found = [row["reward"] for row in epochs if "reward" in row]
    assert len(found) == 4
    report = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert f"best reward {max(found):.4f}" in report


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ({"reward": {"weights": {"blue": 1}}}, "there is no score 'blue', choose among bleu4, meteor"),
        ({"reward": {"weights": {}}}, "choose among bleu4, meteor"),
        ({"reward": {"weights": {"meteor": 1}, "samples": 1}}, "samples"),
        ({"metric": "reward"}, "the metric reward needs a reward"),
        ({"reward": {"weights": {"meteor": 1}}, "teacher_forcing": 0.5}, "leave teacher_forcing out"),
    ],
)
def test_what_is_wrong_with_a_reward_is_said(stage: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    with pytest.raises(UserError, match=sentence):
        load_config(small_config(tmp_path / "data", stage=stage))


def test_every_reward_has_bounds_that_its_name_tells() -> None:
    for key in REWARDS:
        worth = Rewards({key: 1.0}, REFERENCES)([""], ["a"])
        assert worth.tolist() == [0.0], key

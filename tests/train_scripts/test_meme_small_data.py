"""The parts of the recipe: vocabulary, levels, batches, losses, the line scorer."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from inference.common.errors import UserError
from inference.reading.scorer import FEATURES, load_scorer
from inference.tokenizers.slots import CLOSE, OPEN, SPECIAL, UNK, SlotTokenizer
from tests.drawing import draw_meme, jpeg_bytes
from tests.readings import reading_of
from train_scripts.data.dataset import read_split
from train_scripts.meme_small import line_scorer
from train_scripts.meme_small.align import Target
from train_scripts.meme_small.data import (
    Example,
    build_tokenizer,
    concept_list,
    load_examples,
    pad,
    target_ids,
)
from train_scripts.meme_small.train import _batches, _schedule, _word_loss, average_precision
from train_scripts.metrics.faithfulness import ContentLemmas

NOTHING = np.zeros(0, dtype=np.float32)


def example(*tokens: str | int, concepts: frozenset[str] = frozenset()) -> Example:
    return Example("a.jpg", reading_of(), NOTHING, NOTHING, Target(tokens, 0, 0), concepts)


def test_the_vocabulary_is_what_descriptions_say_often_enough() -> None:
    examples = [
        example("мем", OPEN, 0, CLOSE, "кот", "."),
        example("мем", "кот"),
        example("мем", "кот", "пёс"),
    ]
    tokenizer = build_tokenizer(examples, [], ["собака бежит"] * 40 + ["кит"] * 39)
    assert tokenizer.words[: len(SPECIAL)] == SPECIAL
    assert len(tokenizer.levels) == 3
    # Most frequent in descriptions first; quotation marks are structure, never words.
    assert tokenizer.words[len(SPECIAL) + 3 :] == ("кот", "мем", "бежит", "собака")


def test_names_keep_the_capital_people_give_them_within_a_sentence() -> None:
    descriptions = ["На фото Гарри Поттер и кот.", "Кот. Тут Гарри спит, а Кот нет.", "Снова кот и Гарри."]
    examples = [example("гарри", "кот", "снова")] * 3
    assert build_tokenizer(examples, descriptions, []).casing == {"гарри": "Гарри"}


def test_a_target_is_words_and_slots() -> None:
    tokenizer = SlotTokenizer((*SPECIAL, "<detail-0>", "<detail-1>", "<detail-2>", "мем", "."))
    ids = target_ids(Target(("мем", OPEN, 2, CLOSE, "бегемот", "."), 1, 0), tokenizer)
    named = [tokenizer.words[i] if i < len(tokenizer) else i - len(tokenizer) for i in ids]
    assert named == ["мем", OPEN, 2, CLOSE, UNK, "."]
    endless = target_ids(Target(("мем",) * 500, 0, 0), tokenizer)
    assert len(endless) + 2 <= 192  # the decoder has places for all of them, the start and the end


def test_concepts_are_what_enough_descriptions_name() -> None:
    rows = [example(concepts=frozenset({"кот", "дом"})) for _ in range(8)]
    rows += [example(concepts=frozenset({"кот"}))] + [example(concepts=frozenset({"кит"}))] * 7
    assert concept_list(rows) == ["кот", "дом"]


def test_concepts_named_equally_often_have_the_same_order_in_every_process() -> None:
    names = frozenset("абвгдежзиклмнопрст")
    assert concept_list([example(concepts=names)] * 12) == sorted(names)


def test_padding_stands_at_the_end() -> None:
    assert pad([[5], [6, 7, 8], []]).tolist() == [[5, 0, 0], [6, 7, 8], [0, 0, 0]]


def test_a_picture_that_was_never_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(jpeg_bytes(draw_meme("photo", width=120)))
    row = {"file_name": "cat.jpg", "text": "Рыжий кот сидит на окне."}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"cat\.jpg is not among the readings: read it with"):
        load_examples(read_split(tmp_path, "train"), {}, ContentLemmas())


@given(lengths=st.lists(st.integers(1, 60), max_size=200), size=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_example_is_in_one_batch(lengths: list[int], size: int, seed: int) -> None:
    batches = _batches(lengths, size, random.Random(seed))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert batches == _batches(lengths, size, random.Random(seed))


def test_batches_hold_like_lengths() -> None:
    generator = random.Random(1)
    lengths = [generator.randrange(5, 150) for _ in range(640)]
    waste = [
        max(own) * len(own) - sum(own)
        for b in _batches(lengths, 32, generator)
        if (own := [lengths[i] for i in b])
    ]
    assert sum(waste) < 0.1 * sum(lengths)


def test_the_rate_warms_up_then_falls_to_a_fiftieth() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = _schedule(optimizer, 200)
    rates = []
    for _ in range(200):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(1.0)
    assert top <= 10
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(0.02, abs=0.005)


def test_the_loss_is_over_words_that_are_known_and_slots_that_exist() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 7)
    logits[1, :, 5:] = -torch.inf  # the second picture has no lines
    targets = torch.tensor([[3, 5, 6, 2], [4, 1, 2, 0]])  # 0 is padding, 1 the unknown word
    total, count = 0.0, 0
    for i in range(2):
        for t in range(4):
            if targets[i, t] in (0, 1):
                continue
            possible = [j for j in range(7) if math.isfinite(float(logits[i, t, j]))]
            norm = math.log(sum(math.exp(float(logits[i, t, j])) for j in possible))
            total -= float(logits[i, t, targets[i, t]]) - norm
            count += 1
    assert float(_word_loss(logits, targets, 1)) == pytest.approx(total / count, rel=1e-5)


@given(data=st.data())
def test_average_precision_is_the_mean_precision_at_the_hits(data: st.DataObject) -> None:
    n, concepts = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 3))
    order = [data.draw(st.permutations(range(n))) for _ in range(concepts)]
    labels = [data.draw(st.lists(st.booleans(), min_size=n, max_size=n)) for _ in range(concepts)]
    expected = []
    for ranks, hits in zip(order, labels, strict=True):
        best_first = sorted(range(n), key=lambda i: -ranks[i])
        at_hits = [
            sum(hits[i] for i in best_first[: place + 1]) / (place + 1)
            for place in range(n)
            if hits[best_first[place]]
        ]
        if at_hits:
            expected.append(sum(at_hits) / len(at_hits))
    scores, truth = torch.tensor(order, dtype=torch.float32).T, torch.tensor(labels, dtype=torch.float32).T
    assert average_precision(scores, truth) == pytest.approx(sum(expected) / max(len(expected), 1), abs=1e-6)


# --- the line scorer


def test_the_scorer_that_was_trained_is_the_scorer_that_is_used(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    values = generator.normal(size=(300, len(FEATURES))) * 3 + 1
    values[:, 0] = 1.0  # the bias never varies
    labels = (values[:, 1] + 0.5 * values[:, 2] > 1.5).astype(float)
    stored = line_scorer.train(values, labels, epochs=80)
    assert stored["loss"] < 0.3
    line_scorer.save(stored, tmp_path / "scorer.json")
    scorer = load_scorer(tmp_path / "scorer.json")
    found = scorer.probabilities(values)
    assert ((found > 0.5) == labels.astype(bool)).mean() > 0.93
    standard = torch.tensor((values - values.mean(0)) / np.where(values.std(0) < 1e-6, 1, values.std(0)))
    hidden = torch.relu(
        standard @ torch.tensor(stored["hidden"]).double() + torch.tensor(stored["hidden_bias"])
    )
    expected = torch.sigmoid(hidden @ torch.tensor(stored["output"]).double() + stored["output_bias"])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert line_scorer.train(values, labels, epochs=80) == stored


def test_lines_are_examples_by_what_people_quoted() -> None:
    def seen(*texts: str) -> list[list[object]]:
        words = []
        for number, text in enumerate(texts):
            left = 0.05
            for token in text.split():
                right = left + 0.02 * len(token)
                words.append([token, [left, 0.2 * number, right, 0.2 * number + 0.05], 0.95, number])
                left = right + 0.01
        return words

    readings = [
        {"file_name": "a", "size": [500, 400], "words": seen("Когда спишь дома", "совсем другие слова")},
        {"file_name": "english", "size": [500, 400], "words": seen("When you sleep")},
        {"file_name": "unquoted", "size": [500, 400], "words": seen("Когда спишь дома")},
        {"file_name": "not described", "size": [500, 400], "words": seen("Когда спишь дома")},
    ]
    references = {
        "a": 'Надпись: "Когда спишь дома".',
        "english": 'Мем на английском: "When you sleep".',
        "unquoted": "Кот спит.",
    }
    values, labels = line_scorer.examples(readings, references)
    assert labels.tolist() == [1.0, 0.0]
    assert values.shape == (2, len(FEATURES))

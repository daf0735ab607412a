"""The evaluator as a whole: totals, intervals, rows, comparison."""

from __future__ import annotations

import io
import json
import math
import random

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu
from rich.console import Console

from inference.common.errors import UserError
from tests.train_scripts.captions import ADVERSARIAL, ORDINARY, Pairs
from train_scripts.metrics import MEASURES, compare, evaluate
from train_scripts.metrics.bootstrap import interval, resample_weights
from train_scripts.metrics.tables import comparison_sheet, examples_sheet, report_sheet
from train_scripts.metrics.tokens import word_tokens

KEYS = [measure.key for measure in MEASURES]


def split(pairs: Pairs) -> tuple[dict[str, str], dict[str, str]]:
    names = [f"images/{i}.png" for i in range(len(pairs))]
    return dict(zip(names, [p for p, _ in pairs], strict=True)), dict(
        zip(names, [r for _, r in pairs], strict=True)
    )


def test_a_copy_of_the_references_has_the_best_score_in_everything() -> None:
    _, references = split(ORDINARY)
    report = evaluate(references, references, resamples=20)
    for key in ("bleu1", "bleu4", "bleu4_sentences", "rouge_l", "chrf", "quote_recall", "quote_precision"):
        assert report[key] == pytest.approx(1), key
    assert report["content_precision"] == report["content_recall"] == 1
    assert report["cider_d"] == pytest.approx(10)
    assert report["meteor"] > 0.99
    assert report["quote_cer"] == report["repeated"] == report["repeated_outside"] == 0
    assert report["length_ratio"] == 1


def test_means_are_means_of_the_rows_and_ratios_are_over_all_pictures() -> None:
    predictions, references = split(ORDINARY)
    report = evaluate(predictions, references, resamples=20)
    rows = report.rows
    assert [row["file_name"] for row in rows] == list(references)
    for key in ("meteor", "meteor_russian", "rouge_l", "cider_d", "length", "repeated", "content_said"):
        assert report[key] == pytest.approx(sum(row[key] for row in rows) / len(rows)), key
    tokens = [
        (word_tokens(predictions[n], "sentences"), word_tokens(references[n], "sentences"))
        for n in references
    ]
    expected = corpus_bleu([[r] for _, r in tokens], [p for p, _ in tokens])
    assert report["bleu4_sentences"] == pytest.approx(expected)
    # The references quote 3, 6 and 10 words; the predictions say 2, 6 and 5 of them, and nothing else.
    assert report["quote_recall"] == pytest.approx(13 / 19)
    assert report["quote_precision"] == 1


def test_faithfulness_is_over_all_pictures_and_outside_quotes() -> None:
    references = {"1": 'Рыжий кот спит на диване. Надпись: "пёс".', "2": "Пёс лает."}
    predictions = {"1": 'Кот спит. Надпись: "рыжий пёс на диване".', "2": 'Кот. "Пёс лает".'}
    report = evaluate(predictions, references, resamples=5)
    assert report["content_precision"] == pytest.approx(2 / 3)
    assert report["content_recall"] == pytest.approx(2 / 6)
    assert report["content_said"] == pytest.approx(1.5)


def test_case_changes_no_score() -> None:
    predictions, references = split(ORDINARY)
    shouted = {name: text.upper() for name, text in predictions.items()}
    a, b = (evaluate(p, references, resamples=5) for p in (predictions, shouted))
    assert {key: a[key] for key in KEYS} == pytest.approx({key: b[key] for key in KEYS})


def test_adversarial_captions_are_scored_without_a_warning_and_written_as_plain_json() -> None:
    for pairs in (ADVERSARIAL, [("", "")], [("", "кот")], [("кот", "")], [("...", "...")]):
        predictions, references = split(pairs)
        report = evaluate(predictions, references, resamples=20)
        again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert list(again["scores"]) == KEYS
        json.dumps(report.rows, allow_nan=False)
        assert len(report_sheet(report, "x").rows) == len(KEYS)


def test_a_score_without_anything_to_divide_by_is_not_a_number() -> None:
    report = evaluate({"a": "Кот спит."}, {"a": "Пёс лает."}, resamples=10)
    assert math.isnan(report["quote_recall"])
    assert report.to_dict()["scores"]["quote_recall"] == {"value": None, "low": None, "high": None}
    assert report.rows[0]["quote_recall"] is None
    assert ("Quoted words, recall ↑", "–", "– … –") in report_sheet(report, "x").rows


@pytest.mark.parametrize(
    "references",
    [
        {"a": "Кот спит на диване."},
        {"a": "Кот спит.", "b": "Кот спит."},
        {"a": "Кот спит.", "b": "Кот  спит.", "c": "кот спит ."},
        {"a": "", "b": " "},
    ],
)
def test_cider_is_not_defined_where_references_tell_no_picture_from_another(
    references: dict[str, str],
) -> None:
    said = dict.fromkeys(references, "Кот спит.")
    report = evaluate(said, references, resamples=20)
    assert math.isnan(report["cider_d"])
    assert report.to_dict()["scores"]["cider_d"] == {"value": None, "low": None, "high": None}
    assert {row["cider_d"] for row in report.rows} == {None}
    assert ("CIDEr-D (of 10) ↑", "–", "– … –") in report_sheet(report, "x").rows
    comparison = compare(dict.fromkeys(references, "пёс"), said, references, resamples=20)
    assert comparison.differences["cider_d"].verdict == "neither"
    assert ("CIDEr-D (of 10) ↑", "–", "–", "–", "– … –", "–", "") in comparison_sheet(
        comparison, "a", "b"
    ).rows


def test_two_pictures_are_enough_for_cider() -> None:
    references = {"a": "Кот спит.", "b": "Пёс лает."}
    assert evaluate(references, references, resamples=20)["cider_d"] == pytest.approx(7.5)  # no 4-grams


@pytest.mark.parametrize("key", ["bleu1", "bleu4", "meteor", "meteor_russian", "rouge_l", "chrf", "cider_d"])
def test_likeness_to_an_empty_reference_is_not_defined(key: str) -> None:
    empty = evaluate({"a": "Кот спит.", "b": ""}, {"a": "", "b": " "}, resamples=20)
    assert math.isnan(empty[key])
    # Among others it has no part in a mean.
    references = {"a": "Рыжий кот спит дома.", "b": "Серый пёс громко лает.", "c": ""}
    means = {"meteor", "meteor_russian", "rouge_l"}
    if key in means:
        assert evaluate(references, references, resamples=20)[key] > 0.99


def test_an_empty_reference_beside_another_does_not_count() -> None:
    said = {"a": "", "b": "кот спит"}
    with_empty = {"a": ("", "рыжий кот"), "b": ("пёс лает", " ")}
    without = {"a": "рыжий кот", "b": "пёс лает"}
    assert evaluate(said, with_empty).to_dict() == evaluate(said, without).to_dict()


def test_one_picture_has_scores_and_no_interval_and_decides_nothing() -> None:
    references = {"a": 'Рыжий кот спит. Надпись: "Пора".'}
    report = evaluate(references, references, resamples=50)
    for key in ("bleu4", "meteor", "chrf", "quote_recall", "length"):
        assert report.estimates[key].value > 0.99, key
        assert math.isnan(report.estimates[key].low), key
    comparison = compare({"a": "пёс"}, references, references, resamples=50)
    assert {one.verdict for one in comparison.differences.values()} == {"neither"}
    assert comparison.differences["meteor"].difference.value > 0.9
    assert comparison.to_dict()["scores"]["meteor"]["p"] is None
    # Neither does a score that only one of many pictures has.
    good, bad, more = _many(2)
    plain = {name: text.replace("«", "").replace("»", "") for name, text in more.items()}
    quoted = plain | {"0.png": more["0.png"]}
    verdicts = compare(bad, good, quoted, resamples=50).differences
    assert verdicts["meteor"].verdict == "B"
    assert verdicts["quote_recall"].verdict == "neither"


def test_order_of_the_predictions_does_not_matter() -> None:
    predictions, references = split(ORDINARY + ADVERSARIAL)
    shuffled = dict(reversed(predictions.items()))
    assert evaluate(predictions, references).to_dict() == evaluate(shuffled, references).to_dict()


@pytest.mark.parametrize(
    ("predictions", "references", "words"),
    [
        ({}, {}, "no references"),
        ({"a": "x"}, {"a": "x", "b": "y"}, "1 of 2 pictures of the references have no prediction (b)"),
        ({"a": "x", "c": "z"}, {"a": "x"}, "1 of 2 predictions are of pictures without a reference (c)"),
        ({}, {str(i): "x" for i in range(9)}, "(0, 1, 2 and 6 more)"),
    ],
)
def test_pictures_that_do_not_match_are_refused(
    predictions: dict[str, str], references: dict[str, str], words: str
) -> None:
    with pytest.raises(UserError) as refusal:
        evaluate(predictions, references)
    assert words in str(refusal.value)


def test_resamples_draw_every_picture_equally_often_and_the_seed_decides() -> None:
    weights = resample_weights(50, 4000, seed=3)
    assert weights.shape == (4000, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)
    assert (weights == resample_weights(50, 4000, seed=3)).all()
    assert (weights != resample_weights(50, 4000, seed=4)).any()


def test_a_resampled_score_is_the_score_of_the_pictures_drawn() -> None:
    pairs = ORDINARY + ADVERSARIAL
    predictions, references = split(pairs)
    measurements = evaluate(predictions, references, resamples=1).measurements
    bleu2 = next(m for m in MEASURES if m.key == "bleu2")
    weights = resample_weights(len(pairs), 25, seed=1)
    for drawn, ours in zip(weights, measurements.resampled(bleu2, weights), strict=True):
        chosen = [pair for pair, times in zip(pairs, drawn, strict=True) for _ in range(int(times))]
        wanted, said = [[word_tokens(r)] for _, r in chosen], [word_tokens(p) for p, _ in chosen]
        assert ours == pytest.approx(corpus_bleu(wanted, said, weights=(0.5, 0.5)), abs=1e-12)


def test_the_interval_of_a_mean_is_the_normal_one_on_many_pictures() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, size=900)
    means = resample_weights(900, 4000, seed=0) @ values / 900
    low, high = interval(means)
    half = 1.96 * values.std() / 30
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.0006)


def test_a_system_is_not_better_than_itself() -> None:
    predictions, references = split(ORDINARY + ADVERSARIAL)
    comparison = compare(predictions, predictions, references, resamples=50)
    for key, difference in comparison.differences.items():
        assert difference.difference.value == 0, key
        assert difference.p == 1, key
        assert difference.verdict == "neither", key
    assert examples_sheet(comparison, "meteor", "a", "b", 3).rows == ()


def _many(seed: int, pictures: int = 40) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """A good system, a bad one, and references: the good one drops one word of eight, the bad one six."""
    rng = random.Random(seed)
    vocabulary = ["кот", "пёс", "дом", "окно", "река", "лодка", "зонт", "робот", "кактус", "диван", "поезд"]
    references, good, bad = {}, {}, {}
    for i in range(pictures):
        words = rng.sample(vocabulary, 8)
        references[f"{i}.png"] = f"Мем. «{' '.join(words)}»."
        good[f"{i}.png"] = f"Мем. «{' '.join(words[:7])}»."
        bad[f"{i}.png"] = f"Мем. «{' '.join(words[:2])} {' '.join(['нечто'] * 6)}»."
    return good, bad, references


def test_the_better_system_is_found_whichever_side_it_is_on() -> None:
    good, bad, references = _many(0)
    for a, b, better in ((bad, good, "B"), (good, bad, "A")):
        comparison = compare(a, b, references, resamples=200)
        for key in ("bleu4", "meteor", "chrf", "quote_recall", "quote_precision", "quote_cer", "repeated"):
            assert comparison.differences[key].verdict == better, key
            assert comparison.differences[key].p == pytest.approx(2 / 201), key
        assert comparison.differences["length"].verdict == "neither"


def test_totals_of_a_comparison_are_those_of_the_evaluator() -> None:
    good, bad, references = _many(1)
    comparison = compare(bad, good, references, resamples=20)
    a, b = evaluate(bad, references, resamples=20), evaluate(good, references, resamples=20)
    for key in KEYS:
        difference = comparison.differences[key]
        assert (difference.a, difference.b) == pytest.approx((a[key], b[key]), nan_ok=True)
        assert difference.difference.value == pytest.approx(b[key] - a[key], nan_ok=True)


def test_a_comparison_shows_where_they_differ_most() -> None:
    references = {"1": "рыжий кот спит", "2": "серый пёс лает", "3": "дом стоит у реки", "4": "окно открыто"}
    a = references | {"1": "нечто", "3": "дом стоит"}
    b = references | {"2": "нечто", "3": "дом у реки"}
    comparison = compare(a, b, references, resamples=10)
    rows = comparison.rows("rouge_l")
    assert [row["file_name"] for row in rows] == ["1", "3", "4", "2"]
    assert (rows[0]["rouge_l_a"], rows[0]["rouge_l_b"], rows[0]["gain"]) == (0, 1, 1)
    assert [row[0] for row in examples_sheet(comparison, "rouge_l", "a", "b", 1).rows] == ["1", "2"]
    lengths = comparison.rows("quote_cer")
    assert all(row["gain"] is None for row in lengths)


def test_tables_print_captions_as_they_are() -> None:
    references = {"a|b.png": "кот [bold]спит[/bold] | пёс\nлает"}
    comparison = compare({"a|b.png": "[/red] |"}, references, references, resamples=5)
    sheet = examples_sheet(comparison, "rouge_l", "x", "y", 1)
    markdown = sheet.to_markdown()
    assert "| a\\|b.png | кот [bold]спит[/bold] \\| пёс лает | [/red] \\| |" in markdown
    screen = Console(file=io.StringIO(), width=200, record=True)
    screen.print(sheet.to_rich())
    assert "[bold]спит[/bold]" in (printed := screen.export_text())
    assert "[/red] |" in printed
    assert comparison_sheet(comparison, "x", "y").columns[1:3] == ("x", "y")

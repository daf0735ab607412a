"""BLEU, METEOR, ROUGE-L, CIDEr-D and chrF against implementations that share no code with ours."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nltk.tokenize import word_tokenize
from nltk.translate.bleu_score import corpus_bleu
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.chrf import CHRF

from tests.train_scripts.captions import SETS, Pairs
from train_scripts.metrics.bleu import bleu, bleu_counts
from train_scripts.metrics.chrf import chrf, chrf_counts
from train_scripts.metrics.cider import CiderD
from train_scripts.metrics.meteor import Meteor
from train_scripts.metrics.rouge import rouge_l
from train_scripts.metrics.tokens import word_tokens

every_set = pytest.mark.parametrize("pairs", list(SETS.values()), ids=list(SETS))

words = st.lists(st.sampled_from(["кот", "пёс", "и", ",", "на", "окне", "."]), max_size=12)
corpora = st.lists(st.tuples(words, words), min_size=1, max_size=6)
# several references a picture
several = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=4)
quick = settings(max_examples=150, deadline=None)


def tokenized(pairs: Pairs) -> list[tuple[list[str], list[str]]]:
    return [(word_tokens(prediction), word_tokens(reference)) for prediction, reference in pairs]


# BLEU --------------------------------------------------------------------------------------------------


def nltk_bleu(pairs: list[tuple[list[str], list[str]]], order: int) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # nltk warns of an order without a match, where the score is about 1e-77
        return float(
            corpus_bleu([[r] for _, r in pairs], [p for p, _ in pairs], weights=(1 / order,) * order)
        )


def our_bleu(pairs: list[tuple[list[str], list[str]]], order: int) -> float:
    return float(bleu(np.stack([bleu_counts(p, r) for p, r in pairs]).sum(axis=0), order))


@every_set
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_is_nltks(pairs: Pairs, order: int) -> None:
    assert our_bleu(tokenized(pairs), order) == pytest.approx(nltk_bleu(tokenized(pairs), order), abs=1e-12)


@pytest.mark.parametrize("pair", SETS["together"])
def test_bleu_of_one_caption_is_nltks(pair: tuple[str, str]) -> None:
    for order in range(1, 5):
        pairs = tokenized([pair])
        assert our_bleu(pairs, order) == pytest.approx(nltk_bleu(pairs, order), abs=1e-12)


@quick
@given(corpora)
def test_bleu_is_nltks_on_any_corpus(pairs: list[tuple[list[str], list[str]]]) -> None:
    for order in range(1, 5):
        assert our_bleu(pairs, order) == pytest.approx(nltk_bleu(pairs, order), abs=1e-12)


# METEOR ------------------------------------------------------------------------------------------------


def exact_meteor(prediction: list[str], reference: list[str]) -> float:
    """METEOR of 2007 by its paper, with equal words only, aligned from the last word as nltk does."""
    free = list(range(len(reference)))
    links = []
    for i in reversed(range(len(prediction))):
        partner = max((j for j in free if reference[j] == prediction[i]), default=None)
        if partner is not None:
            free.remove(partner)
            links.append((i, partner))
    if not links:
        return 0.0
    links.sort()
    breaks = sum(right[0] != left[0] + 1 or right[1] != left[1] + 1 for left, right in pairwise(links))
    precision, recall = len(links) / len(prediction), len(links) / len(reference)
    f_mean = 10 * precision * recall / (recall + 9 * precision)
    return f_mean * (1 - 0.5 * ((breaks + 1) / len(links)) ** 3)


@every_set
def test_meteor_is_the_papers_where_only_equal_words_match(pairs: Pairs) -> None:
    meteor = Meteor()
    for prediction, reference in tokenized(pairs):
        if not any(word.isascii() and word.isalpha() for word in prediction):  # Porter would stem them
            expected = exact_meteor(prediction, reference)
            assert meteor.score(prediction, reference) == pytest.approx(expected, abs=1e-12)


def test_meteor_gives_the_published_example() -> None:
    prediction = (
        "It is a guide to action which ensures that the military always obeys the commands of the party"
    )
    reference = "It is a guide to action that ensures that the military will forever heed Party commands"
    assert Meteor().score(prediction.split(), reference.split()) == pytest.approx(0.6944, abs=5e-5)


def test_only_russian_meteor_matches_russian_forms() -> None:
    prediction, reference = ["рыжего", "кота"], ["рыжий", "кот"]
    assert Meteor().score(prediction, reference) == 0
    assert Meteor(russian=True).score(prediction, reference) == pytest.approx(1 - 0.5 * (1 / 2) ** 3)


def test_meteor_matches_english_forms() -> None:
    assert Meteor().score(["cats"], ["cat"]) == pytest.approx(0.5)


# ROUGE-L -----------------------------------------------------------------------------------------------


class _Tokens:
    def tokenize(self, text: str) -> list[str]:
        return text.split("\n") if text else []


@every_set
def test_rouge_l_is_googles(pairs: Pairs) -> None:
    scorer = RougeScorer(["rougeL"], tokenizer=_Tokens())
    for prediction, reference in tokenized(pairs):
        theirs = scorer.score("\n".join(reference), "\n".join(prediction))["rougeL"].fmeasure
        assert rouge_l(prediction, reference) == pytest.approx(theirs, abs=1e-12)


@quick
@given(words, words)
def test_rouge_l_is_googles_on_any_caption(prediction: list[str], reference: list[str]) -> None:
    theirs = RougeScorer(["rougeL"], tokenizer=_Tokens()).score("\n".join(reference), "\n".join(prediction))
    assert rouge_l(prediction, reference) == pytest.approx(theirs["rougeL"].fmeasure, abs=1e-12)


# CIDEr-D -----------------------------------------------------------------------------------------------


def cider_d_by_the_paper(pairs: list[tuple[list[str], list[str]]]) -> list[float]:
    """CIDEr-D (equation 3 and section 5 of the paper): n-grams as strings, dense vectors over a pair; NaN
    where all references have the same n-grams, whose weights are then 0.
    """
    grams = [
        [[["\0".join(side[i : i + n]) for i in range(len(side) - n + 1)] for side in pair] for pair in pairs]
        for n in range(1, 5)
    ]
    of_references = [{gram for of_order in grams for gram in of_order[i][1]} for i in range(len(pairs))]
    if all(one == of_references[0] for one in of_references):
        return [math.nan] * len(pairs)
    scores = [0.0] * len(pairs)
    for of_order in grams:
        seen: dict[str, set[int]] = defaultdict(set)
        for picture, (_, reference) in enumerate(of_order):
            for gram in reference:
                seen[gram].add(picture)
        for picture, (prediction, reference) in enumerate(of_order):
            union = sorted({*prediction, *reference})
            idf = np.array([math.log(len(pairs) / max(1, len(seen.get(g, ())))) for g in union])
            hyp = np.array([prediction.count(g) for g in union]) * idf
            ref = np.array([reference.count(g) for g in union]) * idf
            norm = float(np.sqrt((hyp @ hyp) * (ref @ ref))) if union else 0.0
            if norm:
                scores[picture] += float(np.minimum(hyp, ref) @ ref) / norm
    return [
        10 / 4 * score * math.exp(-((len(p) - len(r)) ** 2) / (2 * 6**2))
        for score, (p, r) in zip(scores, pairs, strict=True)
    ]


@every_set
def test_cider_d_is_the_papers(pairs: Pairs) -> None:
    tokens = tokenized(pairs)
    scorer = CiderD([[reference] for _, reference in tokens])
    ours = [scorer.score(prediction, reference) for prediction, reference in tokens]
    assert ours == pytest.approx(cider_d_by_the_paper(tokens), abs=1e-9)


@quick
@given(corpora)
def test_cider_d_is_the_papers_on_any_corpus(pairs: list[tuple[list[str], list[str]]]) -> None:
    scorer = CiderD([[reference] for _, reference in pairs])
    ours = [scorer.score(p, r) for p, r in pairs]
    assert ours == pytest.approx(cider_d_by_the_paper(pairs), abs=1e-9, nan_ok=True)


def test_cider_d_gives_ten_to_a_copy_and_is_not_defined_for_one_picture_alone() -> None:
    references = [["рыжий", "кот", "спит", "дома"], ["пёс", "лает", "на", "почтальона"]]
    assert CiderD([[r] for r in references]).score(references[0], references[0]) == pytest.approx(10)
    assert math.isnan(CiderD([references[:1]]).score(references[0], references[0]))
    assert math.isnan(CiderD([references[:1]] * 3).score(references[0], references[0]))
    # Where others differ, a picture whose words all have 0 for coco-caption as well.
    assert CiderD([references[:1], references[:1], references[1:]]).score(["пёс"], references[0]) == 0


# chrF --------------------------------------------------------------------------------------------------


@every_set
def test_chrf_is_sacrebleus(pairs: Pairs) -> None:
    theirs = CHRF(lowercase=True).corpus_score([p for p, _ in pairs], [[r for _, r in pairs]]).score
    ours = chrf(np.stack([chrf_counts(p, r) for p, r in pairs]).sum(axis=0))
    assert 100 * float(ours) == pytest.approx(theirs, abs=1e-9)


@quick
@given(st.text(alphabet="аб в.", max_size=15), st.text(alphabet="аб в.", max_size=15))
def test_chrf_is_sacrebleus_on_any_caption(prediction: str, reference: str) -> None:
    theirs = CHRF(lowercase=True).corpus_score([prediction], [[reference]]).score
    assert 100 * float(chrf(chrf_counts(prediction, reference))) == pytest.approx(theirs, abs=1e-9)


# Several references a picture ---------------------------------------------------------------------------


@quick
@given(several)
def test_bleu_against_several_references_is_nltks(pictures: list[tuple[list[str], list[list[str]]]]) -> None:
    counts = np.stack([bleu_counts(p, *rs) for p, rs in pictures]).sum(axis=0)
    for order in range(1, 5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = corpus_bleu(
                [rs for _, rs in pictures], [p for p, _ in pictures], weights=(1 / order,) * order
            )
        assert float(bleu(counts, order)) == pytest.approx(float(theirs), abs=1e-12)


@quick
@given(several)
def test_rouge_l_against_several_references_is_googles(
    pictures: list[tuple[list[str], list[list[str]]]],
) -> None:
    scorer = RougeScorer(["rougeL"], tokenizer=_Tokens())
    for prediction, references in pictures:
        theirs = scorer.score_multi(["\n".join(r) for r in references], "\n".join(prediction))
        assert rouge_l(prediction, *references) == pytest.approx(theirs["rougeL"].fmeasure, abs=1e-12)


@quick
@given(several)
def test_meteor_against_several_references_is_the_best_of_the_papers(
    pictures: list[tuple[list[str], list[list[str]]]],
) -> None:
    meteor = Meteor()
    for prediction, references in pictures:
        expected = max(exact_meteor(prediction, r) for r in references)
        assert meteor.score(prediction, *references) == pytest.approx(expected, abs=1e-12)


texts = st.text(alphabet="аб в.", max_size=12)


@quick
@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.tuples(texts, st.lists(texts, min_size=n, max_size=n)), min_size=1, max_size=4)
    )
)
def test_chrf_against_several_references_is_sacrebleus(pictures: list[tuple[str, list[str]]]) -> None:
    # Of references that are equally good either may count: which one, the last bit of a float decides.
    for prediction, references in pictures:
        scores = {
            tuple(chrf_counts(prediction, one)): float(chrf(chrf_counts(prediction, one)))
            for one in references
        }
        assume(sum(score > max(scores.values()) - 1e-9 for score in scores.values()) == 1)
    streams = [list(stream) for stream in zip(*(rs for _, rs in pictures), strict=True)]
    theirs = CHRF(lowercase=True).corpus_score([p for p, _ in pictures], streams).score
    ours = chrf(np.stack([chrf_counts(p, *rs) for p, rs in pictures]).sum(axis=0))
    assert 100 * float(ours) == pytest.approx(theirs, abs=1e-9)


@quick
@given(several)
def test_cider_d_against_several_references_is_the_papers(
    pictures: list[tuple[list[str], list[list[str]]]],
) -> None:
    scorer = CiderD([references for _, references in pictures])
    for prediction, references in pictures:
        expected, apart = 0.0, False
        for n in range(1, 5):

            def grams(tokens: list[str], n: int = n) -> list[str]:
                return ["\0".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]

            def weight(gram: str, n: int = n) -> float:
                holding = sum(any(gram in grams(r, n) for r in rs) for _, rs in pictures)
                return math.log(len(pictures)) - math.log(max(1, holding))

            apart = apart or any(weight(gram) for _, rs in pictures for r in rs for gram in grams(r))
            for reference in references:
                said, wanted = grams(prediction), grams(reference)
                union = sorted({*said, *wanted})
                hyp = np.array([said.count(g) * weight(g) for g in union])
                ref = np.array([wanted.count(g) * weight(g) for g in union])
                norm = math.sqrt(float(hyp @ hyp)) * math.sqrt(float(ref @ ref))
                if norm:
                    penalty = math.exp(-((len(prediction) - len(reference)) ** 2) / 72)
                    expected += float(np.minimum(hyp, ref) @ ref) / norm * penalty
        expected = expected * 10 / 4 / len(references) if apart else math.nan
        assert scorer.score(prediction, *references) == pytest.approx(expected, abs=1e-9, nan_ok=True)


# The words they count ----------------------------------------------------------------------------------


@every_set
def test_words_are_nltks(pairs: Pairs) -> None:
    for text in (text for pair in pairs for text in pair):
        assert word_tokens(text) == word_tokenize(text.lower(), preserve_line=True)

"""What a captioner of words that is told lines says is well formed, however little it has learnt."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Literal

import pytest
import torch

from inference.captioners.building import build
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.types import DecodingOptions
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.tokenizers.words import WordTokenizer
from tests.inference.speaking import seen_by_a_small_tower
from tests.readings import reading_of

CAPTIONS = ['На фото кот, надпись: "привет", (кот) — «сыт».', "Кот! Какой? Такой: белый; да 'вот'..."]
READ = [reading_of([TextLine("УРА", (0.1, 0.1, 0.9, 0.2), 0.9, 0)])] * 40


def model_of_random_weights() -> CaptionModel:
    torch.manual_seed(0)
    tokenizer = WordTokenizer.from_captions(CAPTIONS, slots=2)
    model = build(seen_by_a_small_tower("resnet50-lstm"), tokenizer=tokenizer, words="slots").eval()
    # What no model that has learnt says within a sentence, and nobody sees.
    never = {*model.special.forbidden, *(tokenizer.ids[word] for word in ("<start>", "<unk>"))}
    model.special = replace(model.special, forbidden=tuple(sorted(never)))
    return model


@pytest.mark.parametrize("readings", [READ, None])
@pytest.mark.parametrize("strategy", ["sample", "beam"])
def test_marks_and_quotations_are_where_they_may_be(
    readings: list[Reading] | None, strategy: Literal["sample", "beam"]
) -> None:
    model = model_of_random_weights()
    memory = 3 * torch.randn(40, model.encoder.widths[0], generator=torch.Generator().manual_seed(0))
    options = DecodingOptions(strategy, beams=3, max_tokens=30, seed=None)
    generated = model.generate(memory, options, readings, seeds=range(40) if strategy == "sample" else None)
    texts, _ = model.speaker.sentences(generated, readings)
    assert len({*texts}) > 1
    for text, tokens, finished in zip(texts, generated.tokens, generated.finished, strict=True):
        assert not re.search(r"[«»„“”']", text), text
        assert not re.search(r"[,:;—(]\s*[.,:;!?)—]|[.!?]\s*[,;:]|^[\s\"]*[.,:;!?]", text), text
        assert all(one != other for one, other in itertools.pairwise(tokens)), text
        if finished or re.search("[.!?]", text):  # of what was cut short, its whole sentences
            assert text.count('"') % 2 == 0, text
            assert not re.search(r'[,:;—(]$|""', text), text


def test_other_quotation_marks_are_said_by_who_has_no_lines() -> None:
    with_lines, without = (WordTokenizer.from_captions(CAPTIONS, slots=slots) for slots in (2, 0))
    assert {with_lines.words[token] for token in with_lines.other_marks} == {"«", "»", "'"}
    assert without.other_marks == []

"""What a captioner that is told lines says is well formed, however little it has learnt."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from inference.captioners.building import build
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.types import DecodingOptions
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.tokenizers.words import WordTokenizer
from tests.inference.learning import train_bpe
from tests.inference.speaking import seen_by_a_small_tower
from tests.readings import reading_of

SAID = re.compile(r"[ А-Яа-яё]+|[ \".,:;!?()…—]+|<line\d>")  # whole letters and marks
CAPTIONS = ['На фото кот, надпись: "привет", (кот) — «сыт».', "Кот! Какой? Такой: белый; да 'вот'..."]
READ = [reading_of([TextLine("УРА", (0.1, 0.1, 0.9, 0.2), 0.9, 0)])] * 40


def of_words() -> CaptionModel:
    tokenizer = WordTokenizer.from_captions(CAPTIONS, slots=2)
    model = build(seen_by_a_small_tower("resnet50-lstm"), tokenizer=tokenizer, words="slots").eval()
    return without(model, *(tokenizer.ids[word] for word in ("<start>", "<unk>")))


def of_pieces(folder: Path) -> CaptionModel:
    tokenizer = train_bpe(CAPTIONS * 2, folder)
    tokenizer.add_slots(2)
    model = build(seen_by_a_small_tower("clipcap-small"), tokenizer=tokenizer, words="slots").eval()
    parts = (token for token in range(len(tokenizer)) if not SAID.fullmatch(tokenizer.decode([token])))
    return without(model, *parts)


def without(model: CaptionModel, *tokens: int) -> CaptionModel:
    """One that does not say what no model that has learnt says, and nobody sees."""
    end = {model.special.eos}
    never = {*model.special.forbidden, *tokens} - end
    model.special = replace(model.special, forbidden=tuple(sorted(never)))
    return model


@pytest.mark.parametrize(("tokens", "readings"), [("words", READ), ("words", None), ("pieces", READ)])
@pytest.mark.parametrize("strategy", ["sample", "beam"])
def test_marks_and_quotations_are_where_they_may_be(
    readings: list[Reading] | None,
    strategy: Literal["sample", "beam"],
    tokens: Literal["words", "pieces"],
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = of_words() if tokens == "words" else of_pieces(tmp_path)
    memory = 3 * torch.randn(40, model.encoder.widths[0], generator=torch.Generator().manual_seed(0))
    options = DecodingOptions(strategy, beams=3, max_tokens=30, seed=None)
    generated = model.generate(memory, options, readings, seeds=range(40) if strategy == "sample" else None)
    texts, _ = model.speaker.sentences(generated, readings)
    assert len({*texts}) > 1
    for text, said, finished in zip(texts, generated.tokens, generated.finished, strict=True):
        assert not re.search(r"[«»„“”']", text), text
        assert not re.search(r"[,:;—(]\s*[.,:;!?)—]|[.!?]\s*[,;:]|^[\s\"]*[.,:;!?]", text), text
        assert tokens == "pieces" or all(one != other for one, other in itertools.pairwise(said)), text
        if finished or re.search("[.!?]", text):  # of what was cut short, its whole sentences
            assert text.count('"') % 2 == 0, text
            assert not re.search(r'[,:;—(]$|""', text), text


def test_other_quotation_marks_are_said_by_who_has_no_lines() -> None:
    with_lines, without = (WordTokenizer.from_captions(CAPTIONS, slots=slots) for slots in (2, 0))
    assert {with_lines.words[token] for token in with_lines.other_marks} == {"«", "»", "'"}
    assert without.other_marks == []

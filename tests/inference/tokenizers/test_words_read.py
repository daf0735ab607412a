"""The words read on a picture reach every kind of decoder, and its captions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from inference.captioners.building import build, make_tokenizer
from inference.captioners.encoder_decoder.batch import Batch
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.types import DecodingOptions
from inference.decoders.base import IGNORED
from inference.decoding.search import Generated
from inference.encoders.base import Memory
from inference.presets.preset import preset
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.tokenizers.base import Tokenizer
from inference.tokenizers.gpt2 import Gpt2Tokenizer
from inference.tokenizers.words import WordTokenizer, split_words
from inference.tokenizers.words_read import (
    AFTER,
    BEFORE,
    NOTHING,
    WordsRead,
    author_behind,
    from_slots,
    text_read,
    to_slots,
)
from tests.inference.learning import calibrate, tiny, tokenizer_for, train_bpe
from tests.inference.speaking import seen_by_a_small_tower
from tests.readings import reading_of

GREEDY = DecodingOptions("greedy", max_tokens=40)
COLOURS = {"Красный": "red", "Синий": "blue", "Зелёный": "green"}
LETTERS = "абвгдезк"  # with fewer there are too few pairs to learn copying rather than the pairs


def lines_of(*texts: str) -> tuple[TextLine, ...]:
    return tuple(TextLine(text, (0.0, i / 20, 1.0, (i + 1) / 20), 0.9, i) for i, text in enumerate(texts))


def read(*texts: str) -> Reading:
    return reading_of(lines_of(*texts))


def test_quotations_of_lines_become_slots_and_come_back_as_what_was_read() -> None:
    lines = lines_of("КОГДА СКАЗАЛ, ЧТО", "ЛЯЖЕШЬ ПОРАНЫЕ", "Кот учёный")
    text = "Мем: «когда сказал, что ляжешь пораньше». Твит \"кот ученый\" и 'ничего', «другое»."
    slots = 'Мем: "<line0> <line1>". Твит "<line2>" и \'ничего\', "другое".'
    assert to_slots(text, lines, 16) == slots
    read = 'Мем: "КОГДА СКАЗАЛ, ЧТО ЛЯЖЕШЬ ПОРАНЫЕ". Твит "Кот учёный" и \'ничего\', "другое".'
    assert from_slots(slots, lines) == read
    # Only lines that have a slot, and none where nothing was read.
    assert to_slots(text, lines, 2) == slots.replace("<line2>", "кот ученый")
    assert to_slots(text, (), 16) == text.replace("«", '"').replace("»", '"')
    assert text_read(lines) == "КОГДА СКАЗАЛ, ЧТО ЛЯЖЕШЬ ПОРАНЫЕ Кот учёный"


def test_whose_the_quoted_lines_are_is_told_by_the_first() -> None:
    lines = (*lines_of("подпись"), replace(lines_of("мяу")[0], author="kot"))
    assert author_behind(lines, ': "<line1>".') == author_behind(lines, ' : " <line1> <line0> "') == "kot"
    for text in (': "<line0> <line1>".', ': "<line2>".', ': "мяу <line1>".', ', кот: "<line1>".', ""):
        assert author_behind(lines, text) == "", text


@pytest.mark.parametrize("told", [True, False])
def test_no_account_is_said_that_was_not_read(told: bool) -> None:
    """Though the decoder says one: it knows those of its captions alone."""
    text = 'Твит пользователя rinchen: "<line0>". Твит пользователя rinchen: "<line1>".'
    tokenizer = WordTokenizer.from_captions([text.replace("<line0>", "да")], slots=2)
    model = build(seen_by_a_small_tower("resnet50-lstm"), tokenizer=tokenizer, words="slots")
    reading = reading_of([replace(lines_of("мяу")[0], author="kot"), *lines_of("гав")])
    tokens = tokenizer.encode(text)
    generated = Generated([tokens], [0.0], [0.0], [True])
    (said,), _ = model.speaker.sentences(generated, [reading] if told else None)
    assert said.split(".")[0].endswith('пользователя kot: "мяу"' if told else 'вит: "<line0>"')
    assert "rinchen" not in said


def test_sentences_begin_with_capitals_and_what_was_read_stays_as_it_is(tmp_path: Path) -> None:
    text = 'надпись "<line0>". на фото (см. ниже) кот! твит: "<line0>".'
    lines = lines_of("мяу. гав")
    words = WordTokenizer.from_captions([text], slots=2)
    pieces = train_bpe([text] * 2, tmp_path)
    pieces.add_slots(2)
    for name, tokenizer in (("resnet50-lstm", words), ("clipcap-small", pieces)):
        model = build(seen_by_a_small_tower(name), tokenizer=tokenizer, words="slots")
        generated = Generated([tokenizer.encode(text)], [0.0], [0.0], [True])
        (said,), _ = model.speaker.sentences(generated, [reading_of(lines)])
        assert said == 'Надпись "мяу. гав". На фото (см. ниже) кот! Твит: "мяу. гав".'


def test_a_vocabulary_has_its_slots_as_words() -> None:
    assert split_words('Твит "<line0> <line1>". Кот <line10>.') == [
        *("твит", "``", "<line0>", "<line1>", "''", ".", "кот", "<line10>", "."),
    ]
    captions = ["Надпись «Привет, мир».", "Надпись «Пока»."]
    readings = [read("ПРИВЕТ МИР"), read("пока", "что")]
    words = make_tokenizer(preset("resnet34-lstm"), captions * 6, readings * 6, words="slots", slots=2)
    assert isinstance(words, WordTokenizer)
    assert words.words == (
        "<pad>",
        "<start>",
        "<end>",
        "<unk>",
        "<line0>",
        "<line1>",
        "надпись",
        "``",
        "''",
        ".",
    )
    assert words.slots == [4, 5]
    assert words.decode(words.encode('Надпись "<line1>".')) == 'надпись "<line1>".'
    plain = make_tokenizer(preset("resnet34-lstm"), captions * 6, readings * 6)
    assert isinstance(plain, WordTokenizer)
    assert plain.slots == []
    assert "привет" in plain.ids


def test_tokenizers_with_files_come_from_their_folder(tmp_path: Path) -> None:
    train_bpe(["раз два"], tmp_path)
    assert isinstance(make_tokenizer(preset("clipcap-mlp"), [], files=tmp_path), Gpt2Tokenizer)
    with pytest.raises(FileNotFoundError, match="clipcap-mlp needs the folder of a gpt2 tokenizer"):
        make_tokenizer(preset("clipcap-mlp"), ["раз"])


def test_a_batch_holds_the_words_before_the_sentence_and_learns_the_sentence_alone(tmp_path: Path) -> None:
    captions = ["Надпись «Ура».", "Пусто."]
    readings = [read("УРА", "ещё"), read()]
    words = make_tokenizer(preset("mobilenet-soft-attention"), captions, readings, words="slots", slots=3)
    model = build(tiny("mobilenet-soft-attention"), tokenizer=words, words="slots")
    assert isinstance(words, WordTokenizer)
    batch = model.batch(captions, readings)
    start, end = model.special.bos, model.special.eos
    said = words.encode('Надпись "<line0>".')
    assert batch.tokens[0].tolist() == [start, *words.slots[:2], start, *said]
    assert batch.targets[0].tolist() == [IGNORED] * 3 + [*said, end]
    assert batch.targets[1].tolist() == [IGNORED, *words.encode("Пусто."), end, *[IGNORED] * 5]

    pieces = tokenizer_for("clipcap-mlp", tmp_path)
    model = build(tiny("clipcap-mlp"), tokenizer=pieces, words="prompt")
    model.prompt_tokens = 4
    batch = model.batch(captions, readings)
    before = [
        *pieces.encode("На картинке написано: «"),
        *pieces.encode("УРА ещё")[:4],
        *pieces.encode("». Описание:"),
    ]
    said = pieces.encode(" Надпись «Ура».")
    assert batch.tokens[0].tolist() == [pieces.bos, *before, *said]
    assert batch.targets[0].tolist() == [IGNORED] * len(before) + [*said, pieces.eos]
    nothing = pieces.encode("Описание:")
    assert batch.tokens[1].tolist()[: 1 + len(nothing)] == [pieces.bos, *nothing]

    bpe = tokenizer_for("rudolph", tmp_path)
    model = build(tiny("rudolph", left=6), tokenizer=bpe, words="prompt")
    batch = model.batch(captions, readings)
    assert batch.left is not None
    assert batch.left.tolist() == [[2, *bpe.encode("ура ещё")[:4], 3], [2, 3, 0, 0, 0, 0]]
    assert batch.tokens[0].tolist() == [2, *bpe.encode(captions[0])]
    # Without the option what was read is not looked at.
    assert build(tiny("rudolph"), tokenizer=bpe).batch(captions, readings).left is None


@pytest.mark.parametrize(
    ("name", "words"),
    [("mobilenet-soft-attention", "slots"), ("clipcap-mlp", "prompt"), ("rudolph", "prompt")],
)
def test_sentences_cut_one_by_one_stand_together_as_those_cut_at_once(
    name: str, words: WordsRead, tmp_path: Path
) -> None:
    captions = ["Надпись «Ура».", "Пусто.", "Кот и ещё один кот."]
    readings = [read("УРА", "ещё"), read(), read("кот")]
    if words == "slots":
        tokenizer: Tokenizer = make_tokenizer(preset(name), captions, readings, words=words, slots=3)
    else:
        tokenizer = tokenizer_for(name, tmp_path)
    model = build(tiny(name), tokenizer=tokenizer, words=words)
    parts = [model.batch([caption], [own]) for caption, own in zip(captions, readings, strict=True)]
    together, expected = Batch.together(parts, model.special.pad), model.batch(captions, readings)
    assert torch.equal(together.tokens, expected.tokens)
    assert torch.equal(together.targets, expected.targets)
    if expected.left is None:
        assert together.left is None
    else:
        assert together.left is not None
        assert torch.equal(together.left, expected.left)


def colour_pictures() -> list[Image.Image]:
    return [Image.new("RGB", (64, 64), colour) for colour in COLOURS.values()]


def pieces_model(name: str, folder: Path) -> CaptionModel:
    """With all of it trained: at full size the language model can copy already."""
    torch.manual_seed(0)
    if name == "rudolph":
        free = {"left": 8, "train_attention": True, "train_mlp": True}
        return build(tiny(name, **free), tokenizer=tokenizer_for(name, folder), words="prompt")
    known = [BEFORE, AFTER, NOTHING, *(f" {colour}, {' '.join(LETTERS)}." for colour in COLOURS)]
    return build(tiny(name, train_gpt=True), tokenizer=train_bpe(known * 2, folder), words="prompt")


@pytest.mark.parametrize("name", ["resnet101-lstm-navec", "mobilenet-soft-attention"])
def test_a_word_level_decoder_quotes_words_it_has_never_seen(name: str, tmp_path: Path) -> None:
    """Trained on one or two lines of each colour, asked about other words and other numbers of lines."""
    torch.manual_seed(0)
    readings = [read("абв"), read("где", "ёжз"), read()]
    ends = ['надпись "абв".', 'надписи "где" и "ёжз".', "надписей нет."]
    pairs = [(c, i) for c in range(3) for i in range(3)]
    texts = [f"{list(COLOURS)[c]} фон, {ends[i]}" for c, i in pairs]
    tokenizer = make_tokenizer(
        preset(name), texts * 6, [readings[i] for _, i in pairs] * 6, words="slots", slots=4
    )
    model = build(tiny(name), tokenizer=tokenizer, words="slots")
    pixels = model.encoder.pixels(colour_pictures())
    calibrate(model.encoder, pixels)
    with torch.no_grad():
        rows = model.encoder(pixels)[[c for c, _ in pairs]]
    batch = model.batch(texts, [readings[i] for _, i in pairs])
    fit(model, lambda: (rows, batch), until=0.02, limit=800)

    new = [read("Совсем другое!"), read("ПЕРВОЕ", "второе"), read()]
    ends = ['надпись "Совсем другое!".', 'надписи "ПЕРВОЕ" и "второе".', "надписей нет."]
    expected = [f"{list(COLOURS)[c]} фон, {ends[i]}".replace('"', "«", 1) for c, i in pairs]
    for options in (GREEDY, DecodingOptions("beam", beams=3, max_tokens=40)):
        said, _ = model.describe_memory(rows, [new[i] for _, i in pairs], options)
        assert [text.replace("«", '"').replace("»", '"') for text in said] == [
            text.replace("«", '"') for text in expected
        ]
    # No line is named that the picture does not have, whatever the decoder would like to say.
    said, _ = model.describe_memory(rows, [read()] * 9, DecodingOptions("sample", temperature=9.0, seed=1))
    assert not any("<line" in text for text in said)


def fit(
    model: CaptionModel,
    draw: Callable[[], tuple[Memory, Batch]],
    *,
    until: float,
    limit: int,
    rate: float = 3e-3,
) -> None:
    """Trains on what ``draw`` gives until the loss has been small for a while."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=3e-3)
    model.train()
    mean = 1.0
    for _ in range(limit):
        memory, batch = draw()
        loss = model.loss(memory, batch)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        mean = 0.9 * mean + 0.1 * float(loss.detach())
        if mean < until:
            break
    else:
        raise AssertionError(f"not learned in {limit} steps: {mean}")
    model.eval()


@pytest.mark.parametrize("name", ["clipcap-mlp-tuned", "rudolph"])
def test_a_decoder_of_word_pieces_copies_words_it_has_never_seen(name: str, tmp_path: Path) -> None:
    """Trained on other words of the same letters."""
    model = pieces_model(name, tmp_path)
    pixels = model.encoder.pixels(colour_pictures())
    with torch.no_grad():
        memory = model.encoder(pixels)
    draw = random.Random(0)
    every = [f"{a} {b}" for a in LETTERS for b in LETTERS if a != b]
    draw.shuffle(every)
    unseen, known = every[:4], every[4:]

    def caption(colour: int, word: str) -> str:
        return f"{list(COLOURS)[colour]}, {word}."

    def drawn() -> tuple[Memory, Batch]:
        colours = [draw.randrange(3) for _ in range(24)]
        words = [draw.choice(known) for _ in colours]
        texts = [caption(*pair) for pair in zip(colours, words, strict=True)]
        return memory[colours], model.batch(texts, [read(word) for word in words])

    fit(model, drawn, until=0.004, limit=600)
    rows = [(c, word) for c in range(3) for word in unseen]
    said, _ = model.describe_memory(memory[[c for c, _ in rows]], [read(w) for _, w in rows], GREEDY)
    assert said == [caption(*row) for row in rows]

"""The rules that keep a caption honest: quotations only of what was read, content only of what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.captioners.meme_small.concept_table import FREE, UNKNOWN, ConceptTable
from inference.captioners.meme_small.constraints import OnlySupported, QuoteGrammar, elsewhere, line_blocks
from inference.captioners.meme_small.faithful import Cutter, Evident
from inference.captioners.meme_small.known import Gate, View
from inference.captioners.meme_small.memory import SlotPrefixConfig, collate, line_word_ids
from inference.captioners.meme_small.model import MemeSmall
from inference.captioners.meme_small.telling import Teller
from inference.common.types import DecodingOptions
from inference.decoding.decoder import Logits, Tokens
from inference.decoding.search import generate
from inference.reading.features import LAYOUT_FEATURES, LINE_FEATURES, MAX_LINES, layout_features
from inference.reading.lines import TextLine
from inference.tokenizers.slots import (
    BOS,
    CLOSE,
    EOS,
    OPEN,
    PAD,
    SPECIAL,
    UNK,
    UNREAD,
    SlotTokenizer,
    split_words,
)
from tests.drawing import draw_meme
from tests.readings import reading_of, reading_on
from train_scripts.meme_small.networks import MemeSmallNetwork

LEVELS = ("<detail-0>", "<detail-1>", "<detail-2>")
TOKENIZER = SlotTokenizer((*SPECIAL, *LEVELS, ":", ".", "мем", "кот", "кота", "робот"))
V = len(TOKENIZER)
NEVER = {TOKENIZER.id(token) for token in (PAD, BOS, UNK, UNREAD, *LEVELS)}
OPENS, CLOSES, ENDS, COLON = (TOKENIZER.id(token) for token in (OPEN, CLOSE, EOS, ":"))


def lines_of(count: int, *, first: int = 0) -> list[TextLine]:
    return [
        TextLine(f"строка {first + i}", (0.1, 0.02 * i, 0.9, 0.02 * i + 0.015), 0.9, i) for i in range(count)
    ]


def zeros(rows: int, width: int) -> Logits:
    """Logits that forbid nothing."""
    return np.zeros((rows, width), np.float32)


# --- the grammar of quotations


def may_follow(said: Sequence[int], blocks: Sequence[int], sure: Sequence[bool]) -> set[int]:
    """What the rules allow after ``said``, worked out anew: a machine that knows the blocks as lists."""
    lists: dict[int, list[int]] = {}
    for number, block in enumerate(blocks):
        lists.setdefault(block, []).append(V + number)
    inside, quoted = False, []
    for token in said:
        if token >= V:
            quoted.append(token)
        elif token in (OPENS, CLOSES):
            inside = token == OPENS
    begun = {token for token in quoted for own in lists.values() if token in own}
    unfinished = [own for own in lists.values() if begun & set(own) and not set(own) <= begun]
    if unfinished:
        return {next(token for token in unfinished[0] if token not in begun)}
    # In reading order: the first block that is left.
    starts = {min((own[0] for own in lists.values() if own[0] not in begun), default=-1)} - {-1}
    if inside:
        return starts if said[-1] == OPENS else starts | {CLOSES}
    words = set(range(V)) - NEVER - {OPENS, CLOSES}
    if any(certain and V + number not in begun for number, certain in enumerate(sure)):
        words -= {ENDS}
    return words | {OPENS} if starts else words - {COLON}


def grammar_of(*pictures: tuple[Sequence[int], Sequence[bool]]) -> QuoteGrammar:
    width = max(len(blocks) for blocks, _ in pictures)
    blocks = np.array([[*own, *[-1] * (width - len(own))] for own, _ in pictures], np.int64)
    sure = np.array([[*own, *[False] * (width - len(own))] for _, own in pictures], np.bool_)
    return QuoteGrammar(TOKENIZER, blocks, sure)


def may_say(row: Logits) -> set[int]:
    """The tokens that processors left, of one row of logits."""
    return set(np.isfinite(row).nonzero()[0].tolist())


@pytest.mark.parametrize(
    ("blocks", "sure"),
    [
        ((), ()),
        ((0,), (False,)),
        ((0,), (True,)),
        ((0, 1), (True, False)),
        ((0, 0), (False, True)),
        ((0, 0, 1), (False, False, True)),
    ],
)
def test_the_grammar_allows_exactly_what_the_rules_say(
    blocks: tuple[int, ...], sure: tuple[bool, ...]
) -> None:
    """Every sentence of up to six tokens that the rules allow, words standing for one another."""
    # The batch has another picture with more lines than this one.
    grammar = grammar_of((blocks, sure), ((0, 0, 1, 2), (False,) * 4))
    sentences: list[tuple[int, ...]] = [()]
    while sentences:
        both = np.array(sentences * 2, np.int64)  # as many rows for the other picture
        left = grammar(both, zeros(len(both), V + 4))[: len(sentences)]
        following = []
        for sentence, row in zip(sentences, left, strict=True):
            expected = may_follow(sentence, blocks, sure)
            assert may_say(row) == expected, sentence
            if len(sentence) < 6:
                kinds = expected - {ENDS} - {TOKENIZER.id(word) for word in (".", "кот", "кота", "робот")}
                following += [(*sentence, token) for token in sorted(kinds)]
        sentences = following


def test_what_stands_elsewhere_is_quoted_on_its_own() -> None:
    """Words above the picture and words below it are not one quotation."""
    above, below, beneath = ((0.1, 0, 0.9, 0.1), (0.1, 0.85, 0.9, 0.9), (0.1, 0.95, 0.9, 1))
    own = [TextLine("да", box, 0.9, number) for number, box in enumerate((above, below, beneath))]
    read = reading_of(own, [(0.0, 0.2, 1.0, 0.8)])
    apart = elsewhere([read, reading_of()])
    assert apart.tolist() == [[False, True, False], [False] * 3]
    grammar = QuoteGrammar(TOKENIZER, *line_blocks([read]), apart[:1])

    def may(*said: int) -> set[int]:
        return may_say(grammar(np.array([said]), zeros(1, V + 3))[0])

    assert may(OPENS, V) == {CLOSES}
    assert may(OPENS, V, CLOSES, OPENS) == {V + 1}
    assert may(OPENS, V, CLOSES, OPENS, V + 1) == {CLOSES, V + 2}


def test_blocks_and_sure_lines_come_from_the_reading() -> None:
    lines = [TextLine("раз", (0, 0, 1, 0.1), 0.95, 0), TextLine("два", (0, 0.5, 1, 0.6), 0.3, 1)]
    blocks, sure = line_blocks([reading_of(lines), reading_of(), reading_of(lines_of(MAX_LINES + 5))])
    assert blocks.shape == sure.shape == (3, MAX_LINES)
    assert blocks[0].tolist() == [0, 1, *[-1] * (MAX_LINES - 2)]
    assert sure[0].tolist() == [True, False, *[False] * (MAX_LINES - 2)]
    assert not sure[1].any()
    assert (blocks[1] == -1).all()
    assert line_blocks([reading_of()])[0].shape == (1, 0)


@dataclass
class Babbler:
    """A decoder whose logits are noise, the same for the same seed; structure is as likely as words."""

    seed: int
    pictures: int
    lines: int  # on the picture with most
    spread: float

    def start(self, memory: None) -> dict[str, Tokens]:
        return {"place": np.zeros(self.pictures, np.int64), "row": np.arange(self.pictures)}

    def step(self, state: dict[str, Tokens], tokens: Tokens) -> tuple[Logits, dict[str, Tokens]]:
        rows = []
        for place, row, token in zip(
            state["place"].tolist(), state["row"].tolist(), tokens.tolist(), strict=True
        ):
            noise = np.random.default_rng([self.seed, place, row, token])
            logits = noise.normal(size=V + self.lines).astype(np.float32) * self.spread
            logits[[OPENS, CLOSES]] += self.spread
            logits[[PAD_ID, TOKENIZER.id(UNK), TOKENIZER.id(UNREAD)]] += 2 * self.spread
            logits[ENDS] -= self.spread
            rows.append(logits)
        return np.stack(rows), {**state, "place": state["place"] + 1}


PAD_ID = TOKENIZER.id(PAD)

choices = st.one_of(
    st.just(DecodingOptions(strategy="greedy")),
    st.builds(DecodingOptions, strategy=st.just("beam"), beams=st.integers(1, 4)),
    st.builds(DecodingOptions, strategy=st.just("sample"), seed=st.integers(0, 999)),
    st.just(DecodingOptions(strategy="greedy", no_repeat_ngram=1)),
    st.just(DecodingOptions(strategy="beam", beams=2, min_tokens=9, repetition_penalty=1.3)),
)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    pictures=st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=4), min_size=1, max_size=3),
    options=choices,
    room=st.integers(9, 24),
    spread=st.sampled_from([0.1, 1.0, 8.0]),
)
def test_whatever_the_decoder_says_only_unused_lines_are_quoted(
    seed: int, pictures: list[list[tuple[bool, bool]]], options: DecodingOptions, room: int, spread: float
) -> None:
    """A picture is its lines: does each begin a block, must it be quoted?"""
    blocks = [[sum(begins for begins, _ in own[: i + 1]) for i in range(len(own))] for own in pictures]
    sure = [[certain for _, certain in own] for own in pictures]
    counts = [len(own) for own in pictures]
    options = DecodingOptions.from_dict({**options.to_dict(), "max_tokens": room})
    generated = generate(
        Babbler(seed, len(counts), max(counts), spread),
        None,
        options,
        bos=TOKENIZER.levels[0],
        eos=ENDS,
        pad=PAD_ID,
        processors=[grammar_of(*zip(blocks, sure, strict=True))],
    )
    for i, (tokens, count, finished) in enumerate(
        zip(generated.tokens, counts, generated.finished, strict=True)
    ):
        slots = [token - V for token in tokens if token >= V]
        assert len(set(slots)) == len(slots)
        assert all(0 <= slot < count for slot in slots)
        assert not NEVER & set(tokens)
        inside = False
        for before, token in zip([None, *tokens], tokens, strict=False):
            assert (token >= V or token == CLOSES) == inside
            if token == CLOSES:
                assert before != OPENS
            inside = token == OPENS if token in (OPENS, CLOSES) else inside
        if finished and not options.no_repeat_ngram:
            assert not inside
            assert {slot for slot in range(count) if sure[i][slot]} <= set(slots)
            # Of each block all lines or none, one after the other.
            for block in set(blocks[i]):
                own = [slot for slot in range(count) if blocks[i][slot] == block]
                place = slots.index(own[0]) if own[0] in slots else None
                assert place is None or slots[place : place + len(own)] == own
                assert place is not None or not set(own) & set(slots)
        lines = lines_of(count)
        text = TOKENIZER.decode(tokens, lines)
        assert text.count('"') % 2 == 0
        assert '""' not in text
        quoted = "".join(text.split('"')[1::2])
        assert sorted(quoted.replace("строка", " ").split()) == sorted(str(slot) for slot in slots)
        if not count:
            assert '"' not in text
            assert COLON not in tokens


# --- what the picture allows


def test_words_are_put_to_the_concepts_of_their_lemmas() -> None:
    tokenizer = SlotTokenizer(
        (*SPECIAL, *LEVELS, ".", "на", "кот", "кота", "сидит", "7", "2007", "reddit", "wi-fi", "Ю")
    )
    lemmas = {"кот": "кот", "кота": "кот", "сидит": "сидеть"}
    named = ConceptTable.of_words(
        tokenizer, ["пёс", "кот"], lambda word: frozenset(filter(None, [lemmas.get(word)]))
    ).word_concepts
    by_word = dict(zip(tokenizer.words, named, strict=True))
    assert by_word["кот"] == by_word["кота"] == 1
    assert by_word["сидит"] == UNKNOWN  # content, but never learnt from pictures
    assert by_word["reddit"] == by_word["wi-fi"] == by_word["2007"] == UNKNOWN
    assert by_word["7"] == by_word["на"] == by_word["."] == FREE
    assert all(by_word[token] == FREE for token in (*SPECIAL, *LEVELS))


def test_only_what_is_supported_can_be_said() -> None:
    model = small()
    allowed = np.array([[True, False], [False, True]])
    processor = OnlySupported(
        model.cutter,
        allowed,
        [Evident(1, signed=True)] * 2,
        model.word_concepts,
        repeatable=np.array([False, True]),
    )
    logits = processor(np.zeros((4, 0), np.int64), zeros(4, V + 2))  # two beams a picture
    said = [{TOKENIZER.words[i] for i in may_say(row[:V])} & CONTENT for row in logits]
    assert said == [{"кот", "кота"}, {"кот", "кота"}, {"робот"}, {"робот"}]
    assert np.isfinite(logits[:, V:]).all()
    assert np.isfinite(logits[:, [ENDS, OPENS, CLOSES, COLON]]).all()
    # A thing is named once, under any of its forms; what may be repeated is.
    named = np.array([[TOKENIZER.id("кот")], [V], [TOKENIZER.id("робот")], [V]])
    again = processor(named, zeros(4, V + 2))
    said = [{TOKENIZER.words[i] for i in may_say(row[:V])} & CONTENT for row in again]
    assert said == [set(), {"кот", "кота"}, {"робот"}, {"робот"}]


def test_what_the_picture_spells_out_is_found_by_its_lemma() -> None:
    lines = [TextLine("«Кота», роботу!", (0, 0, 1, 0.1), 0.9, 0)]
    assert small().spelt([reading_of(lines), reading_of()]).tolist() == [[1, 1], [0, 0]]


# --- the lines as the decoder sees them


def test_known_words_of_a_line_are_looked_up() -> None:
    lines = [
        TextLine("«КОТ», Мем! неведомое", (0, 0, 1, 0.1), 0.9, 0),
        TextLine("<unk> </quote>", (0, 0.2, 1, 0.3), 0.9, 1),
        TextLine("кот " * 40, (0, 0.4, 1, 0.5), 0.9, 2),
    ]
    ids = line_word_ids(reading_of(lines), TOKENIZER)
    assert ids[0].tolist()[:3] == [TOKENIZER.id("кот"), TOKENIZER.id("мем"), 0]
    assert not ids[1].any()  # words of the picture are never taken for structure
    assert (ids[2] == TOKENIZER.id("кот")).all()


def test_pictures_with_different_numbers_of_lines_make_one_memory() -> None:
    generator = np.random.default_rng(1)
    counts = (2, 0, 4)
    features = [generator.normal(size=(count, LINE_FEATURES)).astype(np.float32) for count in counts]
    words = [line_word_ids(reading_of(lines_of(count)), TOKENIZER) for count in counts]
    layout = [generator.normal(size=LAYOUT_FEATURES).astype(np.float32) for _ in counts]
    probabilities = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1], [0.0, 0.4, 0.6]])
    memory = collate(probabilities, 2, layout, features, words)
    assert memory.concepts.tolist() == [[1, 2], [0, 1], [2, 1]]  # the likeliest, likeliest first
    assert np.array_equal(memory.probabilities, np.take_along_axis(probabilities, memory.concepts, 1))
    assert memory.line_mask.sum(1).tolist() == list(counts)
    assert memory.line_features.shape == (3, 4, LINE_FEATURES)
    for i, count in enumerate(counts):
        assert np.array_equal(memory.line_features[i, :count], features[i])
        assert not memory.line_features[i, count:].any()
        assert np.array_equal(memory.layout[i], layout[i])


# --- the whole model, small and untrained


def small(seed: int = 0, tokenizer: SlotTokenizer = TOKENIZER, **settings: Any) -> MemeSmall:
    return untrained(seed, tokenizer, **settings)[1]


def untrained(
    seed: int, tokenizer: SlotTokenizer = TOKENIZER, **settings: Any
) -> tuple[MemeSmallNetwork, MemeSmall]:
    """All of it with random weights: an encoder of one place, a decoder of width 16."""
    torch.manual_seed(seed)
    sizes = {"width": 16, "layers": 2, "heads": 2, "shown": 2, **settings}
    config = SlotPrefixConfig(vocabulary=len(tokenizer), concepts=2, **sizes)
    concepts = [FREE] * len(tokenizer)
    concepts[tokenizer.id("кот")] = concepts[tokenizer.id("кота")] = 0
    concepts[tokenizer.id("робот")] = 1
    encoder = {"kind": "efficientnet_lite0", "preprocessing": {"size": 32}}
    table = ConceptTable(["кот", "робот"], concepts)
    network = MemeSmallNetwork(config, table, encoder).eval()
    with torch.no_grad():
        for parameter in network.decoder.parameters():
            parameter.mul_(8)
    return network, network.model(tokenizer, table)


PICTURES = [draw_meme("two_frames", width=160), draw_meme("photo", width=160), draw_meme("tweet", width=160)]
READ = [
    reading_on(picture, lines)
    for picture, lines in zip(PICTURES, (lines_of(3), [], lines_of(5, first=10)), strict=True)
]
GREEDY = DecodingOptions(strategy="greedy", max_tokens=30)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "options",
    [GREEDY, DecodingOptions(max_tokens=20), DecodingOptions(strategy="sample", seed=1, max_tokens=30)],
    ids=lambda options: options.strategy,
)
def test_an_untrained_model_babbles_within_the_rules(seed: int, options: DecodingOptions) -> None:
    texts, generated = small(seed).describe(PICTURES, READ, options, level=1, gate=Gate())
    for text, tokens, read in zip(texts, generated.tokens, READ, strict=True):
        quoted = "".join(text.split('"')[1::2])
        own = {line.text.split()[1] for line in read.lines}
        said = quoted.replace("строка", " ").split()
        assert set(said) <= own
        assert len(said) == len(set(said)) == sum(token >= V for token in tokens)


NOTHING = Gate(certain=1.1, listed=1.1, acting=1.1)
CONTENT = {"кот", "кота", "робот"}
SAMPLE = DecodingOptions(strategy="sample", seed=5, max_tokens=30)


def content_said(options: DecodingOptions, gate: Gate) -> set[str]:
    """Words of content outside quotations, over a few untrained models."""
    said: set[str] = set()
    for seed in range(4):
        for text in small(seed).describe(PICTURES, READ, options, level=1, gate=gate)[0]:
            said |= set(split_words(" ".join(text.split('"')[::2])))
    return said & CONTENT


def test_a_gate_that_nothing_passes_leaves_no_word_of_content() -> None:
    for options in (GREEDY, SAMPLE):
        assert content_said(options, Gate(certain=0.0, listed=1.1, acting=1.1))
        assert content_said(options, Gate(certain=1.1, listed=0.0, acting=1.1, boldness=1.0))
        assert not content_said(options, NOTHING)


def test_another_variant_is_bolder() -> None:
    assert content_said(SAMPLE, replace(NOTHING, boldness=0.0))
    assert not content_said(GREEDY, replace(NOTHING, boldness=0.0))


def test_things_stand_where_the_picture_comes_in_reading_order() -> None:
    """Words above a picture, then what is on it, then the words below it."""
    tokenizer = SlotTokenizer((*TOKENIZER.words, "подпись"))
    model = small(tokenizer=tokenizer)
    above, below = lines_of(2)
    above, below = replace(above, box=(0.1, 0, 0.9, 0.1)), replace(below, box=(0.1, 0.9, 0.9, 1), block=1)
    boxes = [(0.0, 0.2, 1.0, 0.8)]

    def told(*lines: TextLine, boxes: list[tuple[float, float, float, float]] = boxes) -> str:
        tokens: list[int] = []
        for number in range(len(lines)):
            slot = len(tokenizer) + number
            tokens += [tokenizer.id("подпись"), COLON, OPENS, slot, CLOSES, tokenizer.id(".")]
        return model.teller.tell(tokens, View(reading_of(lines, boxes), [0.9, 0.2]), Gate(listed=0.5), GREEDY)

    first, second = above.text, below.text
    assert told(above, below) == (f'Надпись сверху: "{first}". Ниже на фото кот. Подпись снизу: "{second}".')
    assert told(below) == f'На фото кот. Подпись снизу: "{second}".'
    assert told(below, boxes=[]) == f'Подпись: "{second}".'  # a page of text shows no cat
    assert told() == "На фото кот."
    frames = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]
    assert told(above, below, boxes=frames) == (
        f'На кадрах кот. На первом кадре подпись: "{first}". На втором кадре подпись: "{second}".'
    )


def test_what_somebody_does_is_told_where_they_are_named() -> None:
    concepts = ("кот", "человек", "мужчина", "сидеть", "собака")
    tokenizer = SlotTokenizer((*SPECIAL, *LEVELS, "на", "фото", "картинке", "изображён", "и", ".", *concepts))
    named = [concepts.index(word) if word in concepts else FREE for word in tokenizer.words]
    teller = Teller(tokenizer, Cutter(tokenizer, named), concepts)

    def told(words: str, **seen: float) -> str:
        view = View(reading_of(frames=[(0.0, 0.0, 1.0, 1.0)]), [seen.get(one, 0.0) for one in concepts])
        return teller.tell(list(map(tokenizer.id, words.split())), view, Gate(), GREEDY)

    assert told("на фото изображён кот .", кот=0.9, сидеть=0.9) == "На фото кот сидит."
    assert told("на фото изображён кот .", кот=0.9) == "На фото изображён кот."
    assert told("на фото кот .", кот=0.9, собака=0.8) == "На фото кот. Ещё на фото собака."
    # One that names more stays, and so does what the decoder could not say more exactly.
    assert told("на фото кот и собака .", кот=0.9, собака=0.8, сидеть=0.9) == (
        "На фото кот и собака. На фото кто-то сидит."
    )
    assert told("на фото человек .", человек=0.9, мужчина=0.5, сидеть=0.9) == "На фото человек сидит."
    # What the decoder called the picture, it stays, whatever it is otherwise taken for.
    assert told("на картинке кот .", кот=0.9, сидеть=0.9) == "На картинке кот сидит."
    assert told("изображён кот .", кот=0.9, сидеть=0.9) == "На фото кот сидит."


def test_words_under_a_portrait_are_not_said_to_stand_below_a_picture() -> None:
    tokenizer = SlotTokenizer((*SPECIAL, *LEVELS, "текст", "сверху", ":", "."))
    teller = Teller(tokenizer, Cutter(tokenizer, [FREE] * len(tokenizer)), ())
    (line,) = lines_of(1)
    line = replace(line, box=(0.1, 0.4, 0.9, 0.6))
    tokens = [*map(tokenizer.id, ("текст", "сверху", ":", OPEN)), len(tokenizer)]
    tokens += map(tokenizer.id, (CLOSE, "."))

    def told(frame: tuple[float, float, float, float]) -> str:
        return teller.tell(tokens, View(reading_of([line], [frame]), []), Gate(), GREEDY)

    assert told((0.05, 0.05, 0.3, 0.3)) == f'Текст сверху: "{line.text}".'
    assert told((0.05, 0.0, 0.95, 0.3)) == f'Подпись снизу: "{line.text}".'


def test_frames_are_told_one_by_one() -> None:
    """What is on each frame before the words on it, and the frame named once."""
    tokenizer = SlotTokenizer((*TOKENIZER.words, "подпись"))
    model = small(tokenizer=tokenizer)
    first, second = lines_of(2)
    first, second = (
        replace(first, box=(0.1, 0.1, 0.9, 0.2)),
        replace(second, box=(0.1, 0.6, 0.9, 0.7), block=1),
    )
    boxes = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]
    tokens: list[int] = []
    for number in range(2):
        slot = len(tokenizer) + number
        tokens += [tokenizer.id("подпись"), COLON, OPENS, slot, CLOSES, tokenizer.id(".")]

    def told(tokens: list[int], *by_frame: tuple[float, float]) -> str:
        view = View(reading_of([first, second], boxes), [0.9, 0.7], by_frame)
        return model.teller.tell(tokens, view, Gate(listed=0.5), GREEDY)

    assert told(tokens, (0.9, 0.1), (0.1, 0.8)) == (
        f'На первом кадре кот. Подпись: "{first.text}". На втором кадре робот. Подпись: "{second.text}".'
    )
    assert told(tokens, (0.9, 0.1), (0.8, 0.2)) == (
        f'На кадрах кот. На первом кадре подпись: "{first.text}". На втором кадре робот. '
        f'Подпись: "{second.text}".'
    )
    assert told([], (0.9, 0.1), (0.1, 0.8)) == "На первом кадре кот. На втором кадре робот."


def test_some_frames_are_looked_at_one_by_one() -> None:
    model = small()
    image = draw_meme("two_frames", "РАЗ", "ДВА")
    half = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]
    layout = layout_features(reading_of((), half), image)
    seen = model.detect_by_frame(image, reading_of((), half), layout)
    assert seen.shape == (2, len(model.concepts))
    upper = image.crop((0, 0, image.width, image.height // 2))
    parts = model.parts
    alone = parts.detect(parts.see([upper]), layout[None], model.spelt([reading_of()]))
    np.testing.assert_allclose(seen[:1], alone, rtol=1e-5)
    assert len(model.detect_by_frame(image, reading_of((), half[:1]), layout)) == 0
    assert len(model.detect_by_frame(image, reading_of((), half * 4), layout)) == 0


def test_a_picture_gets_the_same_words_alone_and_in_company() -> None:
    model = small(2)
    together, _ = model.describe(PICTURES, READ, DecodingOptions(max_tokens=20), level=1, gate=Gate())
    for picture, read, text in zip(PICTURES, READ, together, strict=True):
        alone, _ = model.describe([picture], [read], DecodingOptions(max_tokens=20), level=1, gate=Gate())
        assert alone == [text]


def test_more_lines_than_the_decoder_has_places_for_are_cut() -> None:
    model, many = small(1), reading_on(PICTURES[0], lines_of(MAX_LINES + 7))
    memory, _ = model.memory(PICTURES[:1], [many])
    assert memory.line_mask.shape == (1, MAX_LINES)
    texts, _ = model.describe(PICTURES[:1], [many], GREEDY, level=0, gate=Gate())
    assert len(texts) == 1


def test_no_more_tokens_are_asked_for_than_there_are_places() -> None:
    network, model = untrained(3, max_tokens=8)
    with torch.no_grad():  # a model that never ends by itself
        network.decoder.words.weight[ENDS] = 0
        network.decoder.words.weight[ENDS, 0] = -1e3
    options = DecodingOptions(strategy="greedy", max_tokens=500, min_tokens=400)
    _, generated = model.describe(PICTURES, READ, options, level=1, gate=Gate())
    assert all(len(tokens) <= 8 for tokens in generated.tokens)

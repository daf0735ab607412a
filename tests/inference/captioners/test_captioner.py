"""From a checkpoint's folder to captions: a small untrained model, real reading, real files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from safetensors.numpy import load_file, save_file

from inference.captioners.captioner import load_captioner
from inference.captioners.hub.translation import Translator
from inference.captioners.meme_small.concept_table import CONCEPTS_FILE, FREE, UNKNOWN, ConceptTable
from inference.captioners.meme_small.memory import SlotPrefixConfig
from inference.checkpoints.folder import CONFIG_FILE, WEIGHTS_FILE
from inference.checkpoints.format import TOKENIZER_FILE, CheckpointError, read_weights
from inference.checkpoints.models import list_models, model_info
from inference.checkpoints.names import HubModel, ModelName
from inference.common.types import Caption, DecodingOptions, UnknownModel
from inference.reading import reader
from inference.reading.lines import clean_quote
from inference.reading.ocr import OcrUnavailableError
from inference.russian import lexicon
from inference.tokenizers.slots import SPECIAL, SlotTokenizer
from tests.drawing import draw_meme, font
from tests.inference.fakes import hash_of
from tests.inference.hub_cache import publish, save_marian
from train_scripts.meme_small.export import DECODING, INT8, write_checkpoint
from train_scripts.meme_small.networks import MemeSmallNetwork

WORDS = ("мем", "кот", "на", "надпись", "сверху", ":", ".", ",", "сидит")
PICTURES = [draw_meme("caption_bar"), draw_meme("photo"), draw_meme("tweet")]
SHORT = DecodingOptions(strategy="greedy", max_tokens=20)


def untrained() -> tuple[MemeSmallNetwork, SlotTokenizer, ConceptTable]:
    torch.manual_seed(8)
    tokenizer = SlotTokenizer((*SPECIAL, "<detail-0>", "<detail-1>", "<detail-2>", *WORDS), {"кот": "Кот"})
    config = SlotPrefixConfig(
        vocabulary=len(tokenizer),
        concepts=2,
        width=16,
        layers=2,
        heads=2,
        shown=2,
    )
    concepts = [FREE] * len(tokenizer)
    concepts[tokenizer.id("кот")] = 0
    concepts[tokenizer.id("сидит")] = UNKNOWN
    table = ConceptTable(["кот", "пёс"], concepts)
    network = MemeSmallNetwork(config, table).eval()
    with torch.no_grad():
        for parameter in network.decoder.parameters():
            parameter.mul_(6)
    return network, tokenizer, table


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "tiny", *untrained(), training={"history": []})
    return tmp_path


def test_pictures_get_captions_that_say_how_they_came_about(models: Path) -> None:
    captioner = load_captioner("tiny", models, threads=1)
    captions = captioner.caption(PICTURES, SHORT)
    digest = hashlib.sha256((models / "tiny" / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert (captioner.name, captioner.checkpoint) == ("tiny", digest)
    for caption in captions:
        assert (caption.model, caption.checkpoint, caption.options) == ("tiny", digest, SHORT)
        assert 0 <= caption.confidence <= 1
        for whole, parts in (
            ("read", {"detect", "recognise", "arrange"}),
            ("generate", {"see", "search", "write"}),
        ):
            named = {f"{whole}.{part}" for part in parts}
            assert named == {name for name in caption.seconds if name.startswith(f"{whole}.")}
            assert 0 < sum(caption.seconds[part] for part in named) <= caption.seconds[whole]
        assert "no_reading" not in caption.notes
        assert Caption.from_dict(json.loads(json.dumps(caption.to_dict()))) == caption
    bar, photo, tweet = captions
    assert bar.summary == "Картинка с надписью сверху."
    assert bar.words == ("КОГДА СКАЗАЛ, ЧТО ЛЯЖЕШЬ СПАТЬ ПОРАНЬШЕ",)
    assert (photo.summary, photo.words) == ("Картинка без надписей.", ())
    assert tweet.words[0] == "@kot_uchyony"
    assert tweet.summary == "Скриншот поста в соцсети."


def test_the_first_picture_finds_the_dictionaries_read(models: Path) -> None:
    captioner = load_captioner("tiny", models, threads=1)
    for dictionary in (lexicon.ukrainian_words, lexicon._english, lexicon.is_known):
        dictionary.cache_clear()
    captioner.warm_up()
    assert lexicon.ukrainian_words.cache_info().currsize == lexicon._english.cache_info().currsize == 1


def test_only_words_that_were_read_stand_between_quotation_marks(models: Path) -> None:
    captioner = load_captioner("tiny", models)
    quoted = 0
    for seed in range(4):
        options = DecodingOptions(strategy="sample", seed=seed, max_tokens=40)
        for caption in captioner.caption(PICTURES, options):
            spans = caption.text.split('"')
            assert len(spans) % 2 == 1
            for word in " ".join(spans[1::2]).split():
                assert word in " ".join(caption.words).split()
                quoted += 1
            if not caption.words:
                assert len(spans) == 1
    assert quoted > 3


def test_the_words_are_all_that_stands_there_whatever_the_description_quotes(models: Path) -> None:
    def numbers(*rows: str) -> Image.Image:
        image = Image.new("RGB", (800, 600), "white")
        for row, text in enumerate(rows):
            for column, number in enumerate(text.split()):
                place = (150 + 250 * column, 150 + 150 * row)
                ImageDraw.Draw(image).text(place, number, fill="black", font=font(44), anchor="mm")
        return image

    images = [numbers("57 48 39", "12 35 47"), numbers("Код", "57 48")]
    captions = load_captioner("tiny", models).caption(images)
    assert [caption.words for caption in captions] == [("57 48 39", "12 35 47"), ("Код", "57 48")]
    for caption in captions:
        assert "без надписей" not in caption.summary


def test_a_picture_upside_down_is_captioned_the_right_way_up(models: Path) -> None:
    captioner = load_captioner("tiny", models)
    turned = PICTURES[0].transpose(Image.Transpose.ROTATE_180)
    upright, found = captioner.caption([PICTURES[0], turned], SHORT)
    assert found.notes[0] == "upside_down"
    assert "upside_down" not in upright.notes
    assert (found.words, found.summary) == (upright.words, upright.summary)
    assert found.summary == "Картинка с надписью сверху."


def test_words_that_cannot_be_read_are_neither_quoted_nor_denied(models: Path) -> None:
    captioner = load_captioner("tiny", models)
    upright, mirrored = captioner.caption([PICTURES[0], ImageOps.mirror(PICTURES[0])], SHORT)
    assert "unreadable" in mirrored.notes
    assert "unreadable" not in upright.notes
    assert mirrored.words == ()
    assert '"' not in mirrored.text
    assert "без надписей" not in mirrored.summary + mirrored.text
    assert mirrored.confidence <= 0.5


def test_company_changes_no_caption(models: Path) -> None:
    captioner = load_captioner("tiny", models)
    together = captioner.caption(PICTURES)
    for picture, caption in zip(PICTURES, together, strict=True):
        (alone,) = captioner.caption([picture])
        assert (alone.text, alone.words, alone.summary) == (caption.text, caption.words, caption.summary)
        assert alone.confidence == pytest.approx(caption.confidence, abs=1e-4)


def test_without_options_the_checkpoint_decides(models: Path) -> None:
    captioner = load_captioner("tiny", models)
    assert captioner.caption(PICTURES[1:2])[0].options == DECODING
    assert captioner.caption([]) == []


def test_a_caption_is_told_as_it_is_asked_for_by_the_search_of_the_checkpoint(models: Path) -> None:
    captioner = load_captioner("tiny", models)
    asked = DecodingOptions("own", detail="detailed", quoting=False, language="en")
    (caption,) = captioner.caption(PICTURES[:1], asked)
    assert caption.options == replace(DECODING, detail="detailed", quoting=False), "it knows Russian"
    assert '"' not in caption.text
    assert caption.words, "they are listed all the same"


def test_another_seed_is_another_variant_and_the_same_seed_the_same(models: Path) -> None:
    captioner = load_captioner("tiny", models)

    def texts(seed: int) -> list[str]:
        options = DecodingOptions(strategy="sample", seed=seed, max_tokens=30)
        return [caption.text for caption in captioner.caption(PICTURES[:1], options)]

    assert texts(1) == texts(1)
    assert len({tuple(texts(seed)) for seed in range(4)}) > 1


@pytest.mark.parametrize("size", [(1, 1), (200, 150), (3, 900), (400, 4000)])
def test_any_size_of_picture_is_captioned(models: Path, size: tuple[int, int]) -> None:
    (caption,) = load_captioner("tiny", models).caption([Image.new("RGB", size, "white")], SHORT)
    assert caption.summary == "Картинка без надписей."
    assert caption.words == ()


def test_without_a_reader_pictures_are_described_and_the_note_says_so(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*, threads: int | None) -> None:
        raise OcrUnavailableError("The reader's weights are damaged.")

    monkeypatch.setattr(reader, "Ocr", damaged)
    for caption in load_captioner("tiny", models).caption(PICTURES, SHORT):
        assert caption.notes[0] == "no_reading"
        assert caption.words == ()
        assert '"' not in caption.text
        # Nobody looked: their absence is not claimed.
        assert "без надписей" not in caption.summary + caption.text
        assert caption.text


def test_the_listing_knows_the_checkpoint(models: Path) -> None:
    (model,) = list_models(models)
    assert model.name == "tiny"
    assert model.parameters == sum(tensor.numel() for tensor in untrained()[0].state_dict().values())


def test_the_weights_are_those_that_were_written(models: Path) -> None:
    loaded = read_weights(models / "tiny")
    for name, tensor in untrained()[0].state_dict().items():
        # Half precision; or 8 bits, which are off by at most half a step, a 127th of a row's largest number.
        step = float(tensor.abs().max()) / 127 if name.startswith(INT8) and tensor.dim() > 1 else 0.0
        np.testing.assert_allclose(loaded[name], tensor.numpy(), atol=1e-6 + 0.51 * step, rtol=1e-3)


# --- checkpoints that do not fit

Damage = Callable[[Path], None]


def config(**changes: object) -> Damage:
    """Sets entries of config.json; None takes one out."""

    def apply(folder: Path) -> None:
        stored = {**json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")), **changes}
        stored = {key: value for key, value in stored.items() if value is not None}
        (folder / CONFIG_FILE).write_text(json.dumps(stored), encoding="utf-8")

    return apply


def another_vocabulary(folder: Path) -> None:
    stored = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
    stored["words"].append("лишнее")
    (folder / TOKENIZER_FILE).write_text(json.dumps(stored), encoding="utf-8")


def another_table(old: str, new: str) -> Damage:
    """Changes the text of concepts.json."""

    def apply(folder: Path) -> None:
        text = (folder / CONCEPTS_FILE).read_text(encoding="utf-8")
        assert old in text
        (folder / CONCEPTS_FILE).write_text(text.replace(old, new), encoding="utf-8")

    return apply


def other_weights(change: Callable[[dict[str, np.ndarray]], object]) -> Damage:
    def apply(folder: Path) -> None:
        stored = load_file(folder / WEIGHTS_FILE)
        change(stored)
        save_file(stored, folder / WEIGHTS_FILE)

    return apply


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (other_weights(lambda own: own.pop("decoder.norm.bias")), r"it lacks decoder\.norm\.bias\)"),
        (other_weights(lambda own: own.pop("encoder.network.bn1.bias")), "damaged or do not fit together"),
        (other_weights(lambda own: own.update(more=np.zeros(2))), r"it has more besides\)"),
        (other_weights(lambda own: own.update({"decoder.slot": np.zeros(3)})), "slot has the shape"),
        (another_vocabulary, r"has 20 words, but the model was built for 19"),
        (another_table("сидит", "лежит"), r"\(only one of them knows 'лежит'\): put the files of one"),
        (another_table('"unknown": ["сидит"]', '"unknown": []'), r"\(only one of them knows 'сидит'\)"),
        (another_table('"пёс": []', '"пёс": ["кот"]'), "table of concepts of tiny is damaged"),
        (another_table('"free"', '"fere"'), "table of concepts of tiny is damaged"),
        (lambda folder: (folder / CONCEPTS_FILE).unlink(), "concepts.json is missing"),
        (lambda folder: (folder / TOKENIZER_FILE).unlink(), "damaged or do not fit together"),
        (lambda folder: (folder / TOKENIZER_FILE).write_text("{"), "damaged or do not fit together"),
        (lambda folder: (folder / TOKENIZER_FILE).write_text('{"words": ["кот"]}'), "do not fit together"),
        (lambda folder: (folder / CONFIG_FILE).write_text("{"), "is damaged"),
        (lambda folder: (folder / WEIGHTS_FILE).write_bytes(b"{}"), "is damaged or no safetensors file"),
        (config(format=99), "this version reads format 2"),
        (config(architecture="clairvoyance"), "'clairvoyance', which this version does not know"),
        (config(architecture=None), "says nothing of 'architecture'"),
        (config(decoder=None), "says nothing of 'decoder'"),
        (config(decoder={"vocabulary": 19}), "damaged or do not fit together"),
        (config(gate={"brave": 1}), "damaged or do not fit together"),
        (config(decoding={"strategy": "guess"}), "cannot be built: Strategy must be one of"),
        (config(encoder={"kind": "eye"}), "damaged or do not fit together"),
        (config(level=3), "asks for level of detail 3"),
        (config(level=-1), "asks for level of detail -1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_sentence(
    models: Path, damage: Damage, says: str
) -> None:
    damage(models / "tiny")
    with pytest.raises(CheckpointError, match=says) as caught:
        load_captioner("tiny", models)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_name_that_is_not_there_is_answered_with_those_that_are(models: Path) -> None:
    for name in ("large", "../tiny", ""):
        with pytest.raises(UnknownModel, match="choose one of tiny"):
            load_captioner(name, models)
    (models / "tiny" / CONFIG_FILE).unlink()
    with pytest.raises(UnknownModel, match="put a checkpoint there first"):
        load_captioner("tiny", models)


# --- with a translation model behind the name ---


def test_english_words_are_given_in_russian(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models)
    publish(models, "tiny/en-ru", save_marian)
    pictures = [draw_meme("caption_bar", "WHEN YOU SEE THE CAT"), PICTURES[0]]
    plain, russian = load_captioner("tiny", models).caption(pictures, SHORT)
    captioner = load_captioner("tiny+tiny/en-ru", models)
    explained, untouched = captioner.caption(pictures, SHORT)
    assert plain.words == explained.words == ("WHEN YOU SEE THE CAT",)
    (meaning,) = Translator(HubModel("tiny/en-ru"), models).translate(["When you see the cat"])
    assert f'по-русски: "{clean_quote(meaning)}"' in explained.text.replace("По", "по")
    assert "по-русски" not in plain.text.lower()
    assert untouched.text == russian.text
    # Another text, so another checkpoint: an answer kept from before must not be given again.
    assert captioner.checkpoint == explained.checkpoint == hash_of(models, "tiny+hf:tiny/en-ru")
    assert len(captioner.checkpoint) == 64
    assert captioner.checkpoint != plain.checkpoint
    both, alone = (model_info(models, ModelName.parse(name)) for name in ("tiny+tiny/en-ru", "tiny"))
    assert (both.name, both.parameters) == ("tiny+tiny/en-ru", alone.parameters)
    refs = models / "models--tiny--en-ru"
    commit = (refs / "refs" / "main").read_text()
    (refs / "snapshots" / commit).rename(refs / "snapshots" / ("0" * 40))
    (refs / "refs" / "main").write_text("0" * 40)
    assert hash_of(models, "tiny+tiny/en-ru") != captioner.checkpoint


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tiny+no/such", r"The hub model no/such is not on this machine: .*pull hf:no/such"),
        ("tiny+../up", r"'../up' is no name of a hub model: write it as ORG/NAME"),
        ("none+no/such", r"There is no model named 'none'"),
    ],
)
def test_a_translation_that_is_not_here_says_what_to_do(
    models: Path, offline: None, name: str, sentence: str
) -> None:
    for ask in (lambda: load_captioner(name, models), lambda: hash_of(models, name)):
        with pytest.raises(UnknownModel, match=sentence):
            ask()

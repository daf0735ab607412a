"""English to Russian on tiny random models in the format of opus-mt, against transformers called directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, MarianMTModel

from inference.captioners.hub.loading import HubError
from inference.captioners.hub.translation import Translator
from inference.checkpoints.names import HubModel
from inference.common.types import UnknownModel
from tests.inference.hub_cache import publish, save_bert, save_marian

TEXTS = ["a cat sits on the sofa", "", "two dogs", "  ", "a man in a hat holds a phone", "two dogs"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    publish(folder, "tiny/en-ru", save_marian)
    publish(folder, "tiny/en-slavic", lambda path: save_marian(path, languages=(">>rus<<", ">>ukr<<")))
    publish(folder, "tiny/en-western", lambda path: save_marian(path, languages=(">>deu<<", ">>fra<<")))
    publish(folder, "tiny/bert", save_bert)
    return folder


def directly(cache: Path, repo: str, texts: list[str], **options: Any) -> list[str]:
    """One text after the other through transformers' own classes."""
    (snapshot,) = (cache / f"models--{repo.replace('/', '--')}" / "snapshots").iterdir()
    model = MarianMTModel.from_pretrained(snapshot).eval()
    tokenizer = AutoTokenizer.from_pretrained(snapshot)
    found = []
    for text in texts:
        tokens = model.generate(**tokenizer(text, return_tensors="pt"), **options)
        found.append(" ".join(str(tokenizer.decode(tokens[0], skip_special_tokens=True)).split()))
    return found


def test_batches_are_translated_as_transformers_translates_each_text(cache: Path) -> None:
    translator = Translator(HubModel("tiny/en-ru"), cache, batch_size=2)
    assert translator.checkpoint == (cache / "models--tiny--en-ru/refs/main").read_text()
    first, _, second, _, third, again = translator.translate(TEXTS)
    assert [first, second, third] == directly(cache, "tiny/en-ru", [TEXTS[0], TEXTS[2], TEXTS[4]])
    assert again == second
    assert len({first, second, third}) == 3
    assert translator.translate(["", " "]) == ["", ""]
    assert translator.translate([]) == []


def test_the_number_of_beams_can_be_chosen(cache: Path) -> None:
    texts = ["a cat sits on the sofa", "the text says hello"]
    greedy = Translator(HubModel("tiny/en-ru"), cache, beams=1).translate(texts)
    assert greedy == directly(cache, "tiny/en-ru", texts, num_beams=1)


def test_a_text_is_translated_sentence_by_sentence(cache: Path) -> None:
    translator = Translator(HubModel("tiny/en-ru"), cache)
    one, two, both = translator.translate(["A cat sits.", "Two dogs look!", "A cat sits. Two dogs look!"])
    assert both == f"{one} {two}"
    # An abbreviation within a sentence is no end of it.
    (whole,) = translator.translate(["a cat vs. two dogs"])
    assert whole == directly(cache, "tiny/en-ru", ["a cat vs. two dogs"])[0]


def test_a_text_too_long_for_the_model_is_cut(cache: Path) -> None:
    translator = Translator(HubModel("tiny/en-ru"), cache)
    (text,) = translator.translate(["a cat sits on the sofa " * 30])
    assert text


def test_a_model_of_several_languages_is_asked_for_russian(cache: Path) -> None:
    translator = Translator(HubModel("tiny/en-slavic"), cache)
    assert translator.translate(["two dogs"]) == directly(cache, "tiny/en-slavic", [">>rus<< two dogs"])
    assert translator.translate(["two dogs"]) != directly(cache, "tiny/en-slavic", [">>ukr<< two dogs"])


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("tiny/en-western", HubError, "does not translate into Russian: choose another"),
        ("tiny/bert", HubError, "of the kind 'bert', no MarianMT: choose another"),
        ("tiny/nowhere", UnknownModel, "not on this machine: .*pull hf:tiny/nowhere"),
        ("../../etc", UnknownModel, "no name of a hub model"),
    ],
)
def test_what_is_no_translation_model_is_refused(
    cache: Path, offline: None, name: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Translator(HubModel.parse(name), cache)


def test_weights_in_the_older_format_give_the_same_and_a_warning(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "tiny/old", lambda path: save_marian(path, safe=False))
    texts = ["a cat sits on the sofa"]
    old = Translator(HubModel("tiny/old"), tmp_path).translate(texts)
    assert old == Translator(HubModel("tiny/en-ru"), cache).translate(texts)
    assert "tiny/old has no safetensors" in caplog.text


def test_weights_with_code_in_them_are_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "run"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    def save(folder: Path) -> None:
        save_marian(folder, safe=False)
        torch.save({"model.shared.weight": Trap()}, folder / "pytorch_model.bin")

    publish(tmp_path, "tiny/trap", save)
    with pytest.raises(HubError, match=r"pickled code.*refused"):
        Translator(HubModel("tiny/trap"), tmp_path)
    assert not trap.exists()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        save_marian(folder, safe=False)
        state = torch.load(folder / "pytorch_model.bin")
        del state["model.encoder.layers.1.fc1.weight"]
        torch.save(state, folder / "pytorch_model.bin")

    publish(tmp_path, "tiny/short", save)
    with pytest.raises(HubError, match=r"do not fit its config.json \(model.encoder.layers.1.fc1.weight\)"):
        Translator(HubModel("tiny/short"), tmp_path)

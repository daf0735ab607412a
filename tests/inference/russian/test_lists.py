"""The lists that a linguist keeps, and the rule that Russian words stand there, not in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

import inference
from inference.common.errors import UserError
from inference.russian.lists import FILE, LISTS, read_lists
from inference.russian.morphology import lemma, parses, without_yo

_ALPHABET = re.compile("а-яё?|А-ЯЁ?")
_WORD = re.compile(r"(?<!\w)(?=\w\w)[А-ЯЁ]?[а-яё]+(?:-[а-яё]+)*(?!\w)")


def changed(tmp_path: Path, before: str, after: str) -> Path:
    """A copy of the lists with one place written otherwise."""
    text = FILE.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path = tmp_path / "lists.toml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    return path


def test_a_word_that_is_added_is_in_the_list(tmp_path: Path) -> None:
    path = changed(tmp_path, 'order = ["последний", ', 'order = ["последний", "средний", ')
    assert read_lists(path).captions.order == LISTS.captions.order | {"средний"}


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ('"последний", "часть", "часть"', "captions.order: 'часть' stands there twice"),
        ('"последний", "чaсть"', r"captions.order.1: 'чaсть' mixes Latin and Cyrillic"),
        ('"последний", "часть "', r"captions.order.1: 'часть ' has a space at an end"),
        ('"последний", ""', r"captions.order.1: a word is empty"),
        ('"последний", 1', r"captions.order.1: Input should be a valid string"),
        ('"последний" "часть"', "cannot be read: "),
        ('"последний", "часть"]\nordre = [', "captions.ordre: Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, after: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_lists(changed(tmp_path, '"последний", "часть"', after))


def test_a_sentence_keeps_the_place_where_something_is_written_in(tmp_path: Path) -> None:
    for wrong in ('"мем из кадров"', '"мем из {} {} кадров"', '"мем из {число} {} кадров"'):
        with pytest.raises(UserError, match=r"summary.several: .* must have \{\} once"):
            read_lists(changed(tmp_path, '"мем из {} кадров"', wrong))


def test_every_place_has_a_word(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"places.words: 'between' is missing"):
        read_lists(changed(tmp_path, 'between = "между кадрами"\n', ""))


def test_a_file_that_is_missing_is_a_sentence_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml cannot be read"):
        read_lists(tmp_path / "none.toml")


def test_every_list_says_what_it_is_for() -> None:
    """A list stands behind its comment, alone or with the lists that the comment is of too."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("["):
            assert lines[number + 1].startswith("#"), line


def test_dictionary_forms_are_those_of_the_dictionary() -> None:
    """A word in another form would never be found."""
    words = LISTS.captions
    for own in (words.pictures, words.writings, words.order, words.sides, words.languages):
        assert {without_yo(word) for word in own} <= {form for word in own for _, form in parses(word)}
    beings = LISTS.things.people | LISTS.things.body
    assert {word for word in beings if without_yo(word) not in {form for _, form in parses(word)}} == set()
    assert all(lemma(verb) == verb for verb in (*LISTS.things.actions, *LISTS.things.postures))


def test_every_class_of_the_detector_has_its_russian_noun() -> None:
    categories = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    assert set(LISTS.coco) == {name for name in categories if name not in {"__background__", "N/A"}}


# Russian that is no list, and how many words of it may stand in a module.
_IN_CODE = {
    "checkpoints/coco_objects.py": 10,  # what the list of models says of one
    "importers/ruclip.py": 9,  # what the card of one says
    "captioners/verify.py": 1,  # a word that any tokenizer of Russian knows
    "tokenizers/words_read.py": 5,  # what decoders were trained to read: other words would be strange to them
}


def literals(module: ast.Module) -> Iterator[str]:
    """The string literals of a module that are no docstrings."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value


def test_russian_words_stand_in_the_lists_not_in_the_code() -> None:
    package = Path(inference.__file__).parent
    found = {}
    for path in sorted(package.rglob("*.py")):
        texts = literals(ast.parse(path.read_text(encoding="utf-8")))
        words = [word for text in texts for word in _WORD.findall(_ALPHABET.sub("", text))]
        if words:
            found[path.relative_to(package).as_posix()] = len(words)
    assert found == _IN_CODE

"""What models are called, and that only one module takes their names apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.captioners.captioner import LOADERS
from inference.checkpoints.models import SOURCES
from inference.checkpoints.names import KINDS, CheckpointFolder, CocoObjects, HubModel, Model, ModelName
from inference.common.types import UnknownModel

ROOT = Path(__file__).parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "model", "translation"),
    [
        ("meme-small", CheckpointFolder("meme-small"), None),
        ("small.previous", CheckpointFolder("small.previous"), None),
        ("coco-objects-2", CheckpointFolder("coco-objects-2"), None),
        ("", CheckpointFolder(""), None),
        ("../x", CheckpointFolder("../x"), None),
        ("coco-objects", CocoObjects(), None),
        ("hf:org/name", HubModel("org/name"), None),
        ("hf:gpt2", HubModel("gpt2"), None),
        ("hf:Org-1/na.me_2@v1.0", HubModel("Org-1/na.me_2", "v1.0"), None),
        ("hf:org/name@refs/pr/4", HubModel("org/name", "refs/pr/4"), None),
        (f"hf:org/name@{COMMIT}", HubModel("org/name", COMMIT), None),
        ("meme-small+org/en-ru", CheckpointFolder("meme-small"), HubModel("org/en-ru")),
        ("coco-objects+org/en-ru@v2", CocoObjects(), HubModel("org/en-ru", "v2")),
        ("hf:org/name@v1+org/en-ru", HubModel("org/name", "v1"), HubModel("org/en-ru")),
    ],
)
def test_a_name_says_the_model_and_the_one_that_translates(
    text: str, model: Model, translation: HubModel | None
) -> None:
    name = ModelName.parse(text)
    assert (name.model, name.translation) == (model, translation)
    assert str(name) == text
    assert name.model.name == text.split("+", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("hf:org/name@main", "hf:org/name"),
        ("hf: org/name ", "hf:org/name"),
        ("small+hf:org/en-ru", "small+org/en-ru"),
        ("small+", "small"),
    ],
)
def test_of_several_spellings_the_shortest_is_told(text: str, shortest: str) -> None:
    assert str(ModelName.parse(text)) == shortest


@given(st.text(st.sampled_from("ab/@+:. -hfмё"), max_size=20) | st.text(max_size=260))
@example("hf:a/b@main+hf:c/d@main")
@example("coco-objects+a/b")
def test_what_is_told_of_a_name_names_the_same(text: str) -> None:
    try:
        name = ModelName.parse(text)
    except UnknownModel as error:
        assert "\n" not in str(error)
    else:
        assert ModelName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text", ["/", "a/b/c", "../x", "org/..", "org/na me", "org/name@", "org/name@../../x"]
)
def test_what_is_no_hub_model_is_refused_wherever_it_stands(text: str) -> None:
    for name in (f"hf:{text}", f"hf:hf:{text}", f"meme-small+{text}", f"hf:org/name+hf:{text}"):
        with pytest.raises(UnknownModel, match="is no name of a hub model: write it as ORG/NAME"):
            ModelName.parse(name)
    with pytest.raises(UnknownModel, match="'' is no name of a hub model"):
        ModelName.parse("hf:")


@pytest.mark.parametrize("text", ["x" * 241, "ё" * 121, "a\nb", "small\0", "\ud800", "hf:a/b@" + "0" * 240])
def test_what_nobody_can_read_or_write_is_no_name(text: str) -> None:
    with pytest.raises(
        UnknownModel, match="a name has at most 240 bytes, and nothing in it that cannot"
    ) as no:
        ModelName.parse(text)
    assert len(str(no.value)) < 300


def test_every_kind_is_known_to_those_who_find_and_who_load() -> None:
    assert set(KINDS) == set(SOURCES) == set(LOADERS)


def test_names_need_nothing_heavy() -> None:
    code = (
        "import sys, inference.checkpoints.names, inference.checkpoints.models\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'huggingface_hub')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- one place ---

OWNER = Path("inference/checkpoints/names.py")
TAKES_APART = {"startswith", "removeprefix", "partition", "rpartition", "split", "rsplit", "find", "index"}
# The addresses of files that can be pulled begin as a hub model's name does; they are no names of models.
ADDRESSES = Path("inference/checkpoints/pull/entries.py")


def _parts() -> set[str]:
    """What tells one kind of name from another: the texts that the owner's names stand for."""
    assigned = [
        node.value.value
        for node in ast.walk(ast.parse((ROOT / OWNER).read_text("utf-8")))
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
    ]
    texts = {text for text in assigned if isinstance(text, str)}
    return texts | {text.rstrip(":") for text in texts}


PARTS = _parts()


def taken_apart(source: str) -> list[int]:
    """The lines on which a text is compared with, or cut at, what only models' names are made of."""
    found = []
    for node in ast.walk(ast.parse(source)):
        tried: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            tried = node.args if node.func.attr in TAKES_APART else []
        elif isinstance(node, ast.Compare):
            tried = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            tried = [node.value]
        constants = [one for part in tried for one in ast.walk(part) if isinstance(one, ast.Constant)]
        if any(one.value in PARTS for one in constants if isinstance(one.value, str)):
            found.append(tried[0].lineno)
    return found


@pytest.mark.parametrize(
    "source",
    [
        'name.startswith("hf:")',
        'name.startswith(("hf:", "x"))',
        'name.partition("+")[0]',
        'a, b = name.split("+")',
        'name == "coco-objects"',
        'name in {"coco-objects"}',
        'match kind:\n    case "hf":\n        pass',
    ],
)
def test_a_second_parser_would_be_seen(source: str) -> None:
    assert taken_apart(source)


def test_names_are_taken_apart_in_one_module_only() -> None:
    rooms = [ROOT / room for room in ("bot", "inference", "train_scripts")]
    files = {path.relative_to(ROOT): path for room in rooms for path in room.rglob("*.py")}
    assert {OWNER, ADDRESSES} <= set(files)
    assert {"hf:", "hf", "coco-objects", "+"} <= PARTS
    others = files.keys() - {OWNER, ADDRESSES}
    found = {str(file): lines for file in others if (lines := taken_apart(files[file].read_text("utf-8")))}
    assert not found, f"ask {OWNER} instead"

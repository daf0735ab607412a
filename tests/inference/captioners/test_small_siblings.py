"""The small siblings that ship: small, whole, offline; they describe memes and quote what is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from inference.captioners.captioner import Captioner, load_captioner
from inference.checkpoints import manifest
from inference.checkpoints.format import read_config, read_training
from inference.checkpoints.models import model_info
from inference.checkpoints.names import ModelName
from inference.presets.preset import preset
from tests.drawing import Kind, draw_meme

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"
SIBLINGS = ("lstm-navec-small", "clipcap-small")


@cache
def captioner(name: str) -> Captioner:
    return load_captioner(name, CHECKPOINTS, threads=1)


def letters(text: str) -> str:
    return re.sub(r"[^а-яёa-z0-9]", "", text.lower())


def test_a_fresh_clone_is_small() -> None:
    assert sum(path.stat().st_size for path in CHECKPOINTS.rglob("*") if path.is_file()) <= 40_000_000


@pytest.mark.parametrize("name", SIBLINGS)
def test_is_small_and_says_what_it_is(name: str) -> None:
    folder = CHECKPOINTS / name
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 12_000_000
    config = read_config(folder)
    assert (config.architecture, config.preset) == ("encoder-decoder", name)
    assert config.own["words"] == preset(name).reads
    assert manifest.mismatch(folder) == ""
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert all(torch.isfinite(weights.get_tensor(key).float()).all() for key in weights.keys())  # noqa: SIM118
    info = model_info(CHECKPOINTS, ModelName.parse(name))
    assert re.search("[а-я]", info.description_ru)
    assert info.description


@pytest.mark.parametrize("name", SIBLINGS)
def test_the_card_has_the_scores_of_the_record(name: str) -> None:
    folder = CHECKPOINTS / name
    record = read_training(folder)
    scores, alone = record.scores["scores"], record.training["scores_without_words"]
    assert scores["bleu4"]["value"] >= 0.22
    assert scores["meteor"]["value"] >= 0.38
    card = (folder / "README.md").read_text(encoding="utf-8")
    titles = {
        "bleu4": "BLEU-4 ↑",
        "meteor": "METEOR ↑",
        "content_precision": "Content lemmas, precision ↑",
        "content_recall": "Content lemmas, recall ↑",
    }
    for key, title in titles.items():
        (row,) = re.findall(rf"^\| {re.escape(title)} \| (\S+) \| .* \| (\S+) \| .* \|$", card, re.MULTILINE)
        assert row == (f"{scores[key]['value']:.3f}", f"{alone[key]['value']:.3f}"), key
    assert scores["content_precision"]["value"] >= 0.2
    assert alone["content_precision"]["value"] >= 0.2
    assert "## Limits" in card
    assert "## Training data" in card


@pytest.mark.parametrize("name", SIBLINGS)
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("caption_bar", ["Когда кот проснулся"]),
        ("tweet", ["Сегодня ничего не случилось и это было прекрасно"]),
    ],
)
def test_quotes_what_is_written(name: str, kind: Kind, words: list[str]) -> None:
    (caption,) = captioner(name).caption([draw_meme(kind, *words)])
    for word in words:
        assert letters(word) in letters(caption.text), caption.text


@pytest.mark.parametrize("name", SIBLINGS)
def test_quotes_nothing_that_was_not_read(name: str) -> None:
    images = [draw_meme(kind) for kind in ("caption_bar", "two_frames", "tweet", "photo")]
    for caption in captioner(name).caption(images):
        read = letters(" ".join(caption.words))
        assert caption.text.count('"') % 2 == 0, caption.text
        for quotation in re.findall(r'"([^"]*)"', caption.text):
            assert letters(quotation) in read, caption.text


@pytest.mark.parametrize("name", SIBLINGS)
def test_describes_without_pytorch(name: str, tmp_path: Path) -> None:
    picture = tmp_path / "meme.png"
    draw_meme("caption_bar", "Когда кот проснулся").save(picture)
    code = (
        "import sys\n"
        "from inference.captioners.captioner import load_captioner\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "model = load_captioner(sys.argv[1], Path(sys.argv[2]), threads=1)\n"
        "(caption,) = model.caption([Image.open(sys.argv[3]).convert('RGB')])\n"
        "assert 'torch' not in sys.modules\n"
        "print(caption.text)\n"
    )
    command = [sys.executable, "-c", code, name, str(CHECKPOINTS), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert letters("Когда кот проснулся") in letters(done.stdout)


@pytest.mark.parametrize("name", SIBLINGS)
@pytest.mark.parametrize("size", [(200, 150), (700, 2000), (1, 1)])
def test_every_size_gets_a_sentence(name: str, size: tuple[int, int]) -> None:
    (caption,) = captioner(name).caption([Image.new("RGB", size, (90, 140, 70))])
    assert caption.text
    assert 0 <= caption.confidence <= 1


@pytest.mark.parametrize("name", SIBLINGS)
def test_the_recipe_is_the_one_in_the_record(name: str) -> None:
    record = json.loads((CHECKPOINTS / name / "training.json").read_text(encoding="utf-8"))
    assert record["training"]["preset"] == name
    assert record["lineage"]["data"][0]["pictures"] > 500

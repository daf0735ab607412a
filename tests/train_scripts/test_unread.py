"""A model that is given the words read also learns to do without, where its recipe says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.reading.words import Word
from inference.tokenizers.words import WordTokenizer
from tests.train_scripts.drawn_data import drawn_data, small_config
from train_scripts.meme_small.readings import kept_words
from train_scripts.pictures import open_picture
from train_scripts.training.config import load_config
from train_scripts.training.loop import Training, accelerator_of


@pytest.mark.parametrize(("unread", "told"), [(0.0, {8}), (0.5, set(range(1, 8)))])
def test_a_share_of_the_captions_is_learned_as_if_nothing_was_read(
    unread: float, told: set[int], tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    names = dict.fromkeys(row["file_name"] for row in drawn_data(folder))
    rows = [
        kept_words(name, open_picture(folder / name), [Word("УРА", (0.2, 0.1, 0.6, 0.2), 0.99, 0)])
        for name in names
    ]
    readings = tmp_path / "readings.jsonl"
    readings.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = small_config(
        folder, words="slots", readings={"drawn": str(readings)}, stage={"unread": unread, "batch": 8}
    )
    config = load_config(path)
    training = Training(config, tmp_path / "run", resume=False, accelerator=accelerator_of(config))
    tokenizer = training.model.tokenizer
    assert isinstance(tokenizer, WordTokenizer)
    first = tokenizer.slots[0]
    counts = []
    for epoch in range(3):
        (part,) = training.inputs.parts("drawn", range(8), f"seed {epoch}")
        counts.append(int((part.batch.tokens == first).any(1).sum()))
    training.pool.shutdown()
    assert set(counts) <= told
    # Others each time.
    assert unread == 0 or len({*counts}) > 1 or counts[0] < 8

"""One preset of each family at full size, in real numbers; ``python -m tests.full_size`` does it for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.presets.preset import preset
from tests.forked import Commands
from tests.full_size import BESIDE, prove


@pytest.mark.parametrize("name", ["resnet34-lstm", "mobilenet-soft-attention", "clipcap-mlp", "rudolph"])
def test_a_preset_learns_is_kept_and_says_the_same_in_a_new_process(
    name: str, tmp_path: Path, command: Commands
) -> None:
    def beside(root: Path) -> str:
        done = command(root, code=BESIDE)
        assert done.status == 0, done.stderr
        return done.stdout

    (row,) = prove([name], tmp_path, beside)
    told = preset(name)
    assert (row["trainable"], row["parameters"]) == (told.trainable, told.parameters)
    # 4 bytes a parameter, and little besides.
    assert row["megabytes"] == pytest.approx(4 * row["parameters"] / 1e6, rel=0.02)
    # RuDOLPH keeps 24 layers of 384 places for its step backward; to caption it needs 4 GB.
    assert row["load_peak"] < 4.2e9
    # Beyond what the process had before: of the tests that ran in it.
    assert row["grown"] < (7.6e9 if name == "rudolph" else 3.6e9)

"""TensorFlow's checkpoints are read as they are, or in a zip, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.checkpoints.weight_files.pickles import DamagedPickle
from inference.checkpoints.weight_files.state import ImportFailed, read_state
from inference.checkpoints.weight_files.tensorflow import is_tensorflow, read_tensorflow
from tests.inference.tensorflow_files import Variables, write_checkpoint, zipped

VARIABLES: Variables = {
    "attention/fc_v/bias": np.array([0.5], np.float32),
    "attention/fc_v/kernel": np.arange(300, dtype=np.float32).reshape(300, 1),
    "rnn/bias": np.ones((2, 6), np.float32),
    "steps": np.array(7, np.int64),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "weights", VARIABLES)
    return tmp_path / "weights"


@pytest.mark.parametrize("packed", [False, True])
def test_every_variable_has_its_name_its_shape_and_its_numbers(packed: bool, folder: Path) -> None:
    path = zipped(folder.parent / "weights.zip", folder) if packed else folder / ".index"
    assert is_tensorflow(path)
    found = read_tensorflow(path)
    assert found.keys() == VARIABLES.keys()
    for name, value in VARIABLES.items():
        assert np.array_equal(found[name].numpy(), value)
    assert read_state(path).keys() == VARIABLES.keys()


def test_what_is_not_whole_is_damaged(folder: Path) -> None:
    index, data = folder / ".index", folder / ".data-00000-of-00001"
    good = index.read_bytes()
    for spoiled in (b"", good[:-1], good[: len(good) // 2] + good[-48:]):
        index.write_bytes(spoiled)
        with pytest.raises(DamagedPickle, match="no whole checkpoint of TensorFlow"):
            read_tensorflow(index)
    index.write_bytes(good)
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(ImportFailed, match="is damaged or no weight file"):
        read_state(index)
    data.unlink()
    with pytest.raises(DamagedPickle):
        read_tensorflow(index)
    assert not is_tensorflow(folder / "checkpoint.pt")

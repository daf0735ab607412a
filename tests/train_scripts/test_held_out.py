"""Pictures of train that choose the best weights, so that val is looked at but once."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.common.errors import UserError
from tests.train_scripts.drawn_data import drawn_data, small_config
from train_scripts.training.config import load_config
from train_scripts.training.data import held_out
from train_scripts.training.inputs import read_stage


def test_pictures_held_out_choose_in_place_of_val_and_are_not_learned_from(tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    data = read_stage(load_config(small_config(tmp_path / "data", stage={"held_out": 2})), "drawn")
    learned, chosen = ({row.file_name for row in rows} for rows in (data.train, data.choosing))
    assert (len(learned), len(chosen)) == (6, 2)
    assert not learned & chosen
    assert {row.file_name for row in data.val} == {"images/0.png", "images/6.png"}
    assert len(data.every) == 10


def test_without_pictures_held_out_val_chooses(tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    data = read_stage(load_config(small_config(tmp_path / "data")), "drawn")
    assert data.choosing == data.val
    assert len(data.every) == len(data.train) + len(data.val)


def test_who_holds_all_pictures_out_hears_of_it(tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    with pytest.raises(
        UserError, match=r"holds out all 8 pictures .*: lower stages\.drawn\.held_out \(250\)"
    ):
        read_stage(load_config(small_config(tmp_path / "data", stage={"held_out": 250})), "drawn")


def test_the_same_pictures_are_held_out_whatever_the_order() -> None:
    names = [f"images/{number}.jpg" for number in range(40)]
    held = held_out(names, 10)
    assert len(held) == 10
    assert held == held_out(reversed([*names, *names]), 10)
    assert held_out(names, 4) < held

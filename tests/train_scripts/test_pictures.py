"""Pictures that cannot be opened: all of them in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drawing import draw_meme, jpeg_bytes
from train_scripts.pictures import UnreadablePicturesError, check_pictures, open_picture


def damaged(folder: Path, count: int) -> list[Path]:
    """So many files that begin like pictures, and one that is whole."""
    whole = jpeg_bytes(draw_meme("photo", width=80))
    paths = [folder / f"{number}.jpg" for number in range(count + 1)]
    for number, path in enumerate(paths):
        path.write_bytes(whole if number == count else whole[: 100 + number])
    return paths


def test_whole_pictures_say_nothing(tmp_path: Path) -> None:
    paths = damaged(tmp_path, 0)
    check_pictures(paths * 3)
    assert open_picture(paths[0]).mode == "RGB"


def test_one_picture_is_named_with_its_reason(tmp_path: Path) -> None:
    for path, why in (
        (damaged(tmp_path, 1)[0], "The picture is damaged"),
        (tmp_path / "none.jpg", "No such file or directory"),
    ):
        with pytest.raises(UnreadablePicturesError) as caught:
            check_pictures([path])
        assert str(caught.value).startswith(f"{path} cannot be read ({why}")
        assert str(caught.value).endswith("): mend the file, or remove its rows.")


def test_of_many_the_first_few_are_named_and_the_others_counted(tmp_path: Path) -> None:
    paths = damaged(tmp_path, 5)
    with pytest.raises(UnreadablePicturesError) as caught:
        check_pictures([*paths, *paths])
    text = str(caught.value)
    assert text.startswith("5 pictures cannot be read (")
    assert [path.name for path in paths if str(path) in text] == ["0.jpg", "1.jpg", "2.jpg"]
    assert text.endswith("; and 2 more): mend the files, or remove their rows.")
    assert [path for path, _ in caught.value.bad] == paths[:5]

"""Readers of the sources, on files in the sources' own forms, with the defects that these have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.common.errors import UserError
from tests.train_scripts.data.pictures import save, write_rows
from train_scripts.data.files import table_rows
from train_scripts.data.records import Item, Record, Refused
from train_scripts.data.sources.coco import QUALITY, read_coco
from train_scripts.data.sources.flickr import read_flickr8k, read_flickr30k
from train_scripts.data.sources.table import Columns, read_table


def kept(items: list[Item]) -> list[tuple[str, str | None, str | None, str | None]]:
    """(picture, Russian, English, split) of the records."""
    return [(r.name, r.text, r.original, r.split) for r in items if isinstance(r, Record)]


def refused(items: list[Item]) -> list[tuple[str, str]]:
    return [(r.reason, r.sentence) for r in items if isinstance(r, Refused)]


# COCO and those like it ------------------------------------------------------------------------------------


def test_coco_of_2017_finds_pictures_in_their_folder_and_the_split_in_its_name(tmp_path: Path) -> None:
    save(tmp_path / "train2017" / "000000000009.jpg", 1)
    document = {
        "images": [{"id": 9, "file_name": "000000000009.jpg"}, {"id": 7, "file_name": "000000000007.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 9, "caption": "A cat. \n"},
            {"id": 2, "image_id": 9, "caption": "  "},
            {"id": 3, "image_id": 8, "caption": "A dog."},
        ],
    }
    file = tmp_path / "captions_train2017.json"
    file.write_text(json.dumps(document))
    items = list(read_coco(file, tmp_path, source="coco"))
    assert kept(items) == [("000000000009.jpg", None, "A cat.", "train")]
    assert isinstance(items[0], Record)
    assert items[0].picture == tmp_path / "train2017" / "000000000009.jpg"
    assert refused(items) == [
        ("no caption", f"{file}, annotation 2, has no caption for 000000000009.jpg."),
        ("damaged row", f"{file}, annotation 3, is of a picture that {file} does not list."),
        ("no caption", f"{file}, image 2, 000000000007.jpg, has no caption."),
    ]
    assert [r.split for r in read_coco(file, tmp_path, source="coco", split="val") if isinstance(r, Record)]


def test_vizwiz_rows_about_quality_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "val.json"
    pictures = [{"id": i, "file_name": f"VizWiz_val_0000000{i}.jpg", "vizwiz_url": "x"} for i in range(2)]
    captions = [
        {"caption": "A box of tea.", "image_id": 0, "is_precanned": False, "is_rejected": False, "id": 1},
        {"caption": QUALITY, "image_id": 0, "is_precanned": True, "is_rejected": False, "id": 2},
        {"caption": "spam", "image_id": 1, "is_precanned": False, "is_rejected": True, "id": 3},
    ]
    file.write_text(json.dumps({"images": pictures, "annotations": captions}))
    items = list(read_coco(file, tmp_path, source="vizwiz"))
    assert kept(items) == [("VizWiz_val_00000000.jpg", None, "A box of tea.", "val")]
    assert [reason for reason, _ in refused(items)] == ["quality issues", "quality issues"]


def test_karpathys_split_file_is_recognised(tmp_path: Path) -> None:
    save(tmp_path / "val2014" / "COCO_val2014_1.jpg", 1)
    image = {
        "filepath": "val2014",
        "filename": "COCO_val2014_1.jpg",
        "split": "restval",
        "sentences": [{"raw": "A cat."}, {"raw": "One cat."}, {"tokens": []}],
    }
    file = tmp_path / "dataset_coco.json"
    file.write_text(json.dumps({"images": [image, {"filename": 3}], "dataset": "coco"}))
    items = list(read_coco(file, tmp_path, source="coco"))
    assert kept(items) == [("COCO_val2014_1.jpg", None, t, "train") for t in ("A cat.", "One cat.")]
    assert [reason for reason, _ in refused(items)] == ["no caption", "damaged row"]
    assert isinstance(items[0], Record)
    assert items[0].picture == tmp_path / "val2014" / "COCO_val2014_1.jpg"


def test_coco_rows_without_a_usable_id_are_refused(tmp_path: Path) -> None:
    images = [{"id": [1], "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]
    annotations = [{"image_id": [1], "caption": "a"}, 7, {"image_id": 2, "caption": "A dog ."}]
    file = tmp_path / "captions_train.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    items = list(read_coco(file, tmp_path, source="coco"))
    assert kept(items) == [("2.jpg", None, "A dog .", "train")]
    assert [sentence.removeprefix(f"{file}, ") for _, sentence in refused(items)] == [
        "annotation 1, is no object with an image_id.",
        "annotation 2, is no object with an image_id.",
        "image 1, has no id or file_name.",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"images": [', "is not valid JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"categories": []}', 'it has no "images"'),
        (b'{"images": [{"id": 1}]}', 'has no "annotations"'),
        (b"[" * 100_000, r"is not valid JSON \(it is nested too deep\): fetch the file again"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises((UserError, UserError), match=sentence):
        list(read_coco(tmp_path / "x.json", tmp_path, source="coco"))


def test_a_file_that_cannot_be_read_is_not_said_to_be_damaged(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.json", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError) as caught:
            list(read_coco(path, tmp_path, source="coco"))
        assert str(caught.value) == f"{path} cannot be read ({why}): check the path."


# Flickr ----------------------------------------------------------------------------------------------------

RESULTS = """image_name| comment_number| comment
1000092795.jpg| 0| Two young guys .
1000092795.jpg| 1| "Two" friends | outside .
2199200615.jpg| 4   A dog runs across the grass .
no bars here
10002456.jpg| 0|
"""


def test_flickr30k_with_its_defects(tmp_path: Path) -> None:
    english = tmp_path / "results.csv"
    english.write_text(RESULTS)
    items = list(read_flickr30k(tmp_path, english, None))
    assert kept(items) == [
        ("1000092795.jpg", None, "Two young guys .", None),
        ("1000092795.jpg", None, '"Two" friends | outside .', None),
        ("2199200615.jpg", None, "A dog runs across the grass .", None),
    ]
    assert refused(items) == [
        ("damaged row", f"{english}, line 5, is no picture, number and caption."),
        ("no caption", f"{english}, line 6, has no caption for 10002456.jpg."),
    ]


def test_flickr30k_pairs_translations_with_what_was_translated(tmp_path: Path) -> None:
    english = tmp_path / "results.csv"
    english.write_text("image_name| comment_number| comment\na.jpg| 0| One\na.jpg| 1| Two\nb.jpg| 0| Three\n")
    russian = tmp_path / "russian.csv"
    russian.write_text("image_name|comment_number|comment\na.jpg|1|Два\na.jpg|0|Один\n", encoding="utf-8")
    items = list(read_flickr30k(tmp_path, english, russian))
    # b.jpg has no Russian caption: it is left to be translated.
    assert kept(items) == [
        ("a.jpg", "Два", "Two", None),
        ("a.jpg", "Один", "One", None),
        ("b.jpg", None, "Three", None),
    ]
    rows = [{"image_id": "a", "text": text, "split": "valid"} for text in ("Один", "Два")]
    by_order = write_rows(
        tmp_path / "russian.jsonl", [*rows, {"image_id": "c", "text": "Кот"}, {"text": "x"}]
    )
    items = list(read_flickr30k(tmp_path, english, by_order))
    assert kept(items)[:3] == [
        ("a.jpg", "Один", "One", "val"),
        ("a.jpg", "Два", "Two", "val"),
        ("c.jpg", "Кот", None, None),
    ]
    assert refused(items)[0][1].startswith(f"{by_order}, line 4, names no picture")
    assert kept(list(read_flickr30k(tmp_path, None, by_order)))[0] == ("a.jpg", "Один", None, "val")
    with pytest.raises(UserError, match="needs captions"):
        list(read_flickr30k(tmp_path, None, None))


def test_flickr8k_with_its_lists(tmp_path: Path) -> None:
    lines = ["1.jpg#0\tA child .", "1.jpg#1\tA girl .", "2.jpg#0\tA dog .", "3.jpg.1#0\tA cat ."]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("1.jpg\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("2.jpg\n")
    save(tmp_path / "pictures" / "1.jpg", 1)
    items = list(read_flickr8k(tmp_path, tmp_path / "pictures"))
    assert kept(items) == [
        ("1.jpg", None, "A child .", "train"),
        ("1.jpg", None, "A girl .", "train"),
        ("2.jpg", None, "A dog .", "val"),
    ]
    assert [r.picture is not None for r in items if isinstance(r, Record)] == [True, True, False]
    assert refused(items)[0][0] == "in no split"
    with pytest.raises(UserError, match=r"Flickr8k\.token\.txt is not there"):
        list(read_flickr8k(tmp_path / "pictures", tmp_path))


def test_flickr_as_a_csv_with_commas(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text('image,caption\n1.jpg,"A child , outside ."\n1.jpg,A girl .\n2.jpg,\n')
    captions = [("1.jpg", None, "A child , outside .", None), ("1.jpg", None, "A girl .", None)]
    for items in (list(read_flickr8k(tmp_path, tmp_path)), list(read_flickr30k(tmp_path, file, None))):
        assert kept(items) == captions
        assert refused(items) == [("no caption", f"{file}, line 4, has no caption for 2.jpg.")]
    file.write_text("image_name,comment_number,comment\n1.jpg,1,A girl .\n1.jpg,0,A child .\n")
    russian = tmp_path / "ru.jsonl"
    russian.write_text('{"image_id": "1", "comment_number": 0, "text": "Ребёнок."}\n')
    (pair,) = [one for one in read_flickr30k(tmp_path, file, russian) if isinstance(one, Record)]
    assert (pair.text, pair.original) == ("Ребёнок.", "A child .")


# Tables ----------------------------------------------------------------------------------------------------


def test_a_table_by_the_names_of_its_columns(tmp_path: Path) -> None:
    save(tmp_path / "pics" / "a.jpg", 1)
    file = tmp_path / "captions.tsv"
    file.write_text('image\tcaption\tset\na.jpg\t"Кот\nи пёс"\ttest\nb.jpg\tДом\tthird\n', encoding="utf-8")
    columns = Columns(picture="image", text="caption", split="set")
    items = list(read_table(file, tmp_path / "pics", columns=columns))
    assert kept(items) == [("a.jpg", "Кот\nи пёс", None, "test")]
    assert refused(items) == [
        ("damaged row", f"{file}, line 4, is of the split third: use train, val or test.")
    ]
    english = list(read_table(file, tmp_path / "pics", columns=columns, english=True))
    assert kept(english)[0] == ("a.jpg", None, "Кот\nи пёс", "test")
    with pytest.raises(UserError, match=r"has no column file_name: .*\(it has image, caption, set\)"):
        list(read_table(file))


def test_names_may_lack_their_endings(tmp_path: Path) -> None:
    """As in the meme project's tables."""
    for name in ("2527.jpg", "31.png"):
        (tmp_path / name).touch()
    file = tmp_path / "train.csv"
    file.write_text("image_name\ttext\n2527\tКот.\n31\tПёс.\n404\tНикто.\n", encoding="utf-8")
    items = list(read_table(file, columns=Columns(picture="image_name"), separator="\t"))
    found = [(one.name, one.picture and one.picture.name) for one in items if isinstance(one, Record)]
    assert found == [("2527.jpg", "2527.jpg"), ("31.png", "31.png"), ("404", None)]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('file_name\ttext\n1\t"Когда" и кот\n2\t"пёс\n', [("1", '"Когда" и кот'), ("2", '"пёс')]),
        ('file_name\ttext\n1\t"""Когда"" и кот"\n2\tпёс\n', [("1", '"Когда" и кот'), ("2", "пёс")]),
        ("file_name,text\r1,кот; пёс; кит\r", [("1", "кот; пёс; кит")]),
        ("\n\nfile_name,text\n1,кот\n", [("1", "кот")]),
        ('file_name,text\n1,"кот"', [("1", "кот")]),
    ],
)
def test_odd_tables(content: str, rows: list[tuple[str, str]], tmp_path: Path) -> None:
    """Quotation marks that belong to the text stay; lines may end as they like."""
    path = tmp_path / "x.csv"
    path.write_bytes(content.encode())
    assert [(row["file_name"], row["text"]) for _, row in table_rows(path)] == rows


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('file_name,text\n1,кот\n2,"пёс\n3,кит\n', "line 3, has a quotation mark that is never closed"),
        ('"file_name,text\n1,кот\n', "line 1, has a quotation mark that is never closed"),
        ("file_name,text,text\n1,кот,пёс\n", "has two columns named text: rename one of them"),
    ],
)
def test_a_table_in_which_rows_would_be_lost_is_refused(content: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        list(table_rows(path))


def test_json_lines_take_the_split_from_the_files_name_and_keep_their_source(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.jpg", 1)
    rows = [
        {"file_name": "images/a.jpg", "text": "Кот", "source": "vk:cats", "original": "A cat"},
        {"file_name": None, "text": "Кот"},
        {"file_name": "../../etc/passwd", "text": "Кот"},
        {"file_name": "images/a.jpg", "text": 5},
        {"file_name": "images/a.jpg", "text": ""},
    ]
    file = write_rows(tmp_path / "val.jsonl", rows)
    items = list(read_table(file))
    assert kept(items) == [
        ("images/a.jpg", "Кот", "A cat", "val"),
        ("../../etc/passwd", "Кот", None, "val"),
        ("images/a.jpg", None, None, "val"),
    ]
    first, _, outside, _, _ = items
    assert isinstance(first, Record)
    assert isinstance(outside, Record)
    assert (first.source, first.picture) == ("vk:cats", tmp_path / "images" / "a.jpg")
    assert outside.picture is None
    assert [reason for reason, _ in refused(items)] == ["picture not kept", "damaged row"]

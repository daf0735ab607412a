"""Pages to look at: everything in one file, nothing of a caption read as HTML, pictures as they are."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from tests.drawing import draw_meme, jpeg_bytes
from tests.e2e.processes import CHROMIUM, CHROMIUM_ARGUMENTS
from train_scripts.sheets import Section, SheetError, SheetRow, table_section, write_page
from train_scripts.tables import Sheet


def balanced(page: str) -> bool:
    """Every element that opens closes, in order."""
    open_tags: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in {"meta", "img"}:
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Parser().feed(page)
    return not open_tags


def page_of(path: Path, *sections: Section) -> str:
    write_page(path / "page.html", "t", sections)
    page = (path / "page.html").read_text("utf-8")
    assert balanced(page)
    return page


def test_a_sheet_holds_its_pictures_small_enough_and_needs_no_other_file(tmp_path: Path) -> None:
    meme = tmp_path / "meme.jpg"
    meme.write_bytes(jpeg_bytes(draw_meme("two_frames", width=900)))
    row = SheetRow("images/meme.jpg", meme, {"Reference": "Кот", "A": "Пёс"}, "METEOR 0.1")
    path = tmp_path / "sheet.html"
    write_page(path, "A & B", [Section("C > D", ["1 < 2"], pictures=[row])])
    page = path.read_text("utf-8")
    assert balanced(page)
    assert "<h1>A &amp; B</h1>" in page
    assert "<h2>C &gt; D</h2>\n<p>1 &lt; 2</p>" in page
    assert all(address.startswith("data:") for address in re.findall(r"(?:src|href)=\"?([^\">]+)", page))
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert max(image.size) == 480


def test_captions_are_shown_as_they_are_written(tmp_path: Path) -> None:
    texts = {"Reference": "<b>кот</b>", "A": "кот & «пёс»\nвторая строка", "B": "  "}
    row = SheetRow("<x>.png", None, texts, "a<b", marks_of="Reference")
    page = page_of(tmp_path, Section(pictures=[row]))
    assert "&lt;b&gt;кот&lt;/b&gt;" in page
    assert "<p><mark>кот</mark> &amp; «пёс»\nвторая строка</p>" in page
    assert "&lt;x&gt;.png" in page
    assert "a&lt;b" in page
    assert "(empty)" in page
    assert "The picture is not at hand." in page


def test_words_of_the_reference_are_marked_in_the_others_only(tmp_path: Path) -> None:
    texts = {"Reference": "Рыжий кот и ёлка", "A": "Кот и елка, пёс"}
    page = page_of(tmp_path, Section(pictures=[SheetRow("x", None, texts, marks_of="Reference")]))
    assert re.findall("<mark>(.*?)</mark>", page) == ["Кот", "елка"]
    assert "<mark>" not in page_of(tmp_path, Section(pictures=[SheetRow("x", None, texts)]))


def test_a_picture_that_cannot_be_read_is_named_in_its_place(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(jpeg_bytes(draw_meme(width=200))[:400])
    rows = [SheetRow("broken.jpg", broken, {}), SheetRow("gone.jpg", tmp_path / "gone", {})]
    page = page_of(tmp_path, Section(pictures=rows))
    assert "The picture is damaged or was not sent to its end" in page
    assert "The picture cannot be read: No such file or directory." in page


def test_a_table_of_scores(tmp_path: Path) -> None:
    page = page_of(tmp_path, table_section(Sheet("A|B", ("Score", "Value"), (("BLEU <4>", "0.1"),))))
    assert "<h2>A|B</h2>" in page
    assert '<tr><th>Score</th><th class="number">Value</th></tr>' in page
    assert '<tr><td>BLEU &lt;4&gt;</td><td class="number">0.1</td></tr>' in page


def test_a_page_that_cannot_be_written_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match=r"cannot be written \(No such file or directory\): choose"):
        write_page(tmp_path / "no" / "x.html", "t", [])


def test_a_browser_shows_it_beside_each_other_and_below_each_other_on_a_phone(tmp_path: Path) -> None:
    meme = tmp_path / "meme.jpg"
    meme.write_bytes(jpeg_bytes(draw_meme(width=400)))
    path = tmp_path / "sheet.html"
    row = SheetRow("meme.jpg", meme, {"A": "Кот", "B": "Пёс " * 80})
    write_page(path, "t", [Section(pictures=[row])])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        for width, beside in ((1200, True), (390, False)):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.goto(path.as_uri())
            assert page.evaluate("document.querySelector('img').naturalWidth") == 400
            picture, first, second = (
                page.locator(which).bounding_box()
                for which in ("img", ".texts > div >> nth=0", ".texts > div >> nth=1")
            )
            assert picture and first and second
            assert (first["x"] > picture["x"] + picture["width"]) == beside
            assert (second["y"] == first["y"]) == beside
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.close()
        browser.close()

"""What the pages name is there: files, headings, settings, modules, parts of the code."""

from __future__ import annotations

import pydoc
import re
import tomllib

import pytest

from tests.docs.pages import PAGES, ROOT, read
from tests.test_packaging import example

LINKING = (*PAGES, "CHANGELOG.md")


@pytest.mark.parametrize("page", LINKING)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if heading:
            assert heading in headings(target.read_text("utf-8")), link


def headings(text: str) -> set[str]:
    """The names of a page's headings in addresses, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKING)
def test_parts_of_the_code_are_there(page: str) -> None:
    text = read(page)
    rooms = "bot|inference|train_scripts|tests|checkpoints|docs"
    for path in re.findall(rf"`((?:{rooms})/[\w./-]*)", text):
        assert list(ROOT.glob(path.replace("NAME", "*"))), path
    for name in re.findall(rf"`((?:{rooms})(?:\.\w+)+)`", text):
        assert pydoc.locate(name) is not None, name


def test_every_room_is_on_the_plan() -> None:
    text = read("docs/architecture.md")
    for package in ("bot", "inference", "train_scripts"):
        for room in (ROOT / package).iterdir():
            if room.is_dir() and room.name != "__pycache__":
                assert f"`{package}/{room.name}`" in text, room


def test_the_order_of_the_rooms_is_the_one_that_is_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    text = " ".join(read("docs/architecture.md").split())
    contracts = [one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    assert len(contracts) == 2
    for contract in contracts:
        order = " > ".join(layer.replace(" | ", ", ") for layer in contract["layers"])
        assert f"{contract['containers'][0]}: {order}" in text


def test_every_setting_is_listed_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", read("docs/operating.md"), re.MULTILINE))
    assert {name: value.strip("`") for name, value in rows.items()} == {
        name: value or "–" for name, value in example().items()
    }


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_named_exist(page: str) -> None:
    known = set(re.findall(r"\b[A-Z_]+\b", (ROOT / ".env.example").read_text("utf-8")))
    known.add("VK_TOKEN")  # of one command alone
    for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", read(page)):
        assert name in known, name

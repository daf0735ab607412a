"""The project's pages, and the blocks of code in them.

An HTML comment before a block says why the test of the pages does not run it: ``<!-- needs: internet -->``,
or which test or script does: ``<!-- run by: tests/... -->``. Every other block is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# In the order in which a reader meets them; a command that stands on several is run where it stands first.
PAGES = (
    "README.md",
    "docs/operating.md",
    "docs/models.md",
    "docs/training.md",
    "docs/results.md",
    "docs/architecture.md",
    "README.ru.md",
)
NEEDS = ("internet", "Docker", "PostgreSQL", "a GPU", "a bot token", "an idle machine")
RUN = ("sh", "python")
SHOWN = ("mermaid", "text", "toml", "yaml", "json")

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]+?) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True, slots=True)
class Block:
    """Fenced code on a page; `needs` and `run_by`: what the comment before it says, else empty."""

    page: str
    line: int
    language: str
    text: str
    needs: str = ""
    run_by: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a block for the shell, without remarks, lines that go on joined."""
        lines = (line.partition("  #")[0].strip() for line in self.text.replace("\\\n", " ").splitlines())
        return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    """All fenced blocks of the page, in order."""
    text = read(page)
    found = []
    for fence in _FENCE.finditer(text):
        kind, _, mark = (fence["mark"] or "").partition(": ")
        assert kind in {"", "needs", "run by"}, f"{page}: what does <!-- {fence['mark']} --> mean?"
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, fence.start("language")) + 1,
                language=fence["language"],
                text=fence["text"],
                needs=mark if kind == "needs" else "",
                run_by=mark if kind == "run by" else "",
            )
        )
    assert text.count("\n```") == 2 * len(found) - text.startswith("```"), f"{page}: an odd fence"
    return found


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]

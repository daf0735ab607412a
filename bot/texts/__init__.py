"""What people read: ``sentences`` is the English, ``ru.po`` the Russian, which is the default."""

from __future__ import annotations

import gettext
import html
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Literal

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from bot.texts.sentences import Plural

Language = Literal["ru", "en"]

# Their speakers read Russian more often than English.
_READS_RUSSIAN = ("ru", "uk", "be", "kk")


class Html(str):
    """A value that is Telegram HTML already, and goes into a sentence as it is."""

    __slots__ = ()


class Texts:
    """The sentences in one language. Values put into a sentence are escaped for Telegram's HTML."""

    def __init__(self, language: Language, catalogue: gettext.NullTranslations) -> None:
        self.language = language
        self._catalogue = catalogue

    def __call__(self, sentence: str, **values: object) -> str:
        """``sentence`` (of ``bot.texts.sentences``) in this language, HTML, its {placeholders} filled."""
        return self._catalogue.gettext(sentence).format(**_escaped(values))

    def plural(self, sentence: Plural, number: int, **values: object) -> str:
        """The form of ``sentence`` that goes with ``number``, which fills the placeholder {n}."""
        form = self._catalogue.ngettext(sentence.one, sentence.many, number)
        return form.format(n=number, **_escaped(values))

    def decimal(self, number: float, digits: int = 2) -> str:
        """A number as it is written in this language."""
        written = f"{number:.{digits}f}"
        return written.replace(".", ",") if self.language == "ru" else written


def _escaped(values: dict[str, object]) -> dict[str, str]:
    return {
        name: value if isinstance(value, Html) else html.escape(str(value), quote=False)
        for name, value in values.items()
    }


@cache
def texts(language: str) -> Texts:
    """The sentences in ``language``; an unknown one gives Russian."""
    if language == "en":
        return Texts("en", gettext.NullTranslations())
    # Compiled here, at the first use: no binary catalogue has to be kept in step with the source.
    with Path(__file__).with_name("ru.po").open("rb") as source:
        catalogue = read_po(source, locale="ru", abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Texts("ru", gettext.GNUTranslations(compiled))


def choose_language(code: str | None, default: Language = "ru") -> Language:
    """The interface's language for a person whose Telegram is set to ``code`` (IETF tag, may be absent)."""
    tag = (code or "").lower().replace("_", "-").split("-")[0]
    if tag == "en":
        return "en"
    return "ru" if tag in _READS_RUSSIAN else default

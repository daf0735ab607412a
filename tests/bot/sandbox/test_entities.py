"""Telegram's HTML: what it becomes, and what is refused in which words."""

from __future__ import annotations

import pytest

from bot.sandbox.entities import ParseError, clean, parse_html, utf16_length


def entities_of(source: str) -> list[tuple[str, str]]:
    """Each entity's type and the words it covers."""
    text, entities = clean(*parse_html(source))
    data = text.encode("utf-16-le")
    return [
        (
            entity["type"],
            data[entity["offset"] * 2 : (entity["offset"] + entity["length"]) * 2].decode("utf-16-le"),
        )
        for entity in entities
    ]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a &lt;b&gt; &amp; &quot;c&quot;", 'a <b> & "c"'),
        ("&#1078;&#x436;", "жж"),
        ("&lt without a semicolon", "< without a semicolon"),
        ("&nbsp; &copy; stay", "&nbsp; &copy; stay"),
        ("&#12345678;", "&#12345678;"),
        ("a > b", "a > b"),
        ("  \n <b> x </b> \n", "x"),
    ],
)
def test_text(source: str, text: str) -> None:
    assert clean(*parse_html(source))[0] == text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<b>жирно</b>", [("bold", "жирно")]),
        ("😀<i>курсив</i>", [("italic", "курсив")]),  # the smiley counts two units
        ("<b>раз <i>два</i></b>", [("bold", "раз два"), ("italic", "два")]),
        ("<B>a</b >", [("bold", "a")]),
        ("<b>a</b><strong>b</strong>", [("bold", "ab")]),
        ("<b></b>пусто", []),
        ("<b>  x  </b>y", [("bold", "x  ")]),
        ('<a href="https://e.org/?a=1&amp;b">сюда</a>', [("text_link", "сюда")]),
        ('<a href="javascript:alert(1)">сюда</a>', []),
        ('<pre><code class="language-python">x = 1</code></pre>', [("pre", "x = 1")]),
        ("<code>/help <b>x</b></code>", [("code", "/help x")]),
        ("<blockquote expandable x>q</blockquote>", [("expandable_blockquote", "q")]),
        ("<b class>x</b>", [("bold", "x")]),
        ("<a>e.org</a>", [("text_link", "e.org")]),
        ("<pre><code>x</code></pre>", [("pre", "x"), ("code", "x")]),
        ('<span class="tg-spoiler">s</span><tg-spoiler>t</tg-spoiler>', [("spoiler", "st")]),
        ("<b>a</>", [("bold", "a")]),
        (
            "см. /help, https://e.org/x. и @durov #мем a@e.org",
            [
                ("bot_command", "/help"),
                ("url", "https://e.org/x"),
                ("mention", "@durov"),
                ("hashtag", "#мем"),
                ("email", "a@e.org"),
            ],
        ),
        ("и/или 1/2", []),
    ],
)
def test_entities(source: str, expected: list[tuple[str, str]]) -> None:
    assert entities_of(source) == expected


def test_a_language_stays_with_the_block_of_code() -> None:
    _, entities = clean(*parse_html('<pre><code class="language-python">x</code></pre>'))
    assert entities == [{"type": "pre", "language": "python", "offset": 0, "length": 1}]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("ж<u>x</b>", 'Unmatched end tag at byte offset 6, expected "</u>", found "</b>"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("ж <br> x", 'Unsupported start tag "br" at byte offset 3'),
        ("5 < 7 and 8 > 2", 'Unsupported start tag "" at byte offset 2'),
        ("a <", "Unclosed start tag at byte offset 2"),
        ("<b", "Unclosed start tag at byte offset 0"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        (
            "&#xD800;",
            "Text contains invalid Unicode characters after decoding HTML entities, "
            "check for unmatched surrogate code units",
        ),
        ('<a href="x>y</a>', "Unclosed start tag at byte offset 0"),
        ("<a href=x/y>z</a>", "Unexpected end of name token at byte offset 8"),
        ('<a ="x">y</a>', 'Empty attribute name in the tag "a" at byte offset 0'),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
def test_refusals(source: str, reason: str) -> None:
    with pytest.raises(ParseError) as refused:
        parse_html(source)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("<a href=e.org>x</a>", "http://e.org/"),
        ('<a href="https://e.org/a?b=1&amp;c#d">x</a>', "https://e.org/a?b=1&c#d"),
        ('<a href="tg://resolve?domain=x">x</a>', "tg://resolve?domain=x"),
        ('<a href="mailto:a@e.org">x</a>', "mailto:a@e.org"),
    ],
)
def test_links(source: str, url: str) -> None:
    assert clean(*parse_html(source))[1][0]["url"] == url


def test_length_is_in_utf16_units() -> None:
    assert utf16_length("aж😀") == 4

"""Where a sentence ends: what nltk's English Punkt, with all its 20,366 words, says of the same texts."""

from __future__ import annotations

import pytest

from inference.tokenizers.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("кот сидит. пёс спит.", ["кот сидит.", "пёс спит."]),
        ("кто там? никого! и всё… ладно.", ["кто там?", "никого!", "и всё… ладно."]),
        ('подпись: "привет." ниже кот', ['подпись: "привет."', "ниже кот"]),
        ("ждут... кого?", ["ждут... кого?"]),  # dots and a small letter: the sentence goes on
        ("в 2020. году кот", ["в 2020. году кот"]),  # a number, an ordinal or a list
        ("а. пушкин и кот", ["а. пушкин и кот"]),  # an initial
        ("и т. д. и т. п. конец", ["и т. д. и т. п. конец"]),
        ("кот и др. сидят", ["кот и др.", "сидят"]),  # no abbreviation of English
        ("mr. кот vs. пёс", ["mr. кот vs. пёс"]),
        ("see p. b-week ends", ["see p. b-week ends"]),
        ("see q. b-week ends", ["see q.", "b-week ends"]),
        ("кадр один .кадр два. кадр три", ["кадр один .кадр два.", "кадр три"]),
        ("", []),
    ],
)
def test_sentences_end_where_punkt_ends_them(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences

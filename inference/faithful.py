"""Cuts a caption down to what the picture supports, sentence by sentence, so that the rest still reads well.

A decoder trained from little data fills its sentences with what is likely in general ("мужчина смотрит на"),
true or not. Here every word that names something of the picture is either supported by its concept's
probability or cut, together with the clause that needed it; quotations always stay, with a plain lead
("подпись:") where theirs was cut. The same cut makes the training targets: the decoder learns to say what can
be known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from inference.slots import CLOSE, OPEN, SPECIAL, UNK, SlotTokenizer

# Nouns (lemmas) that a sentence about a meme can end with and that need no seeing.
_PICTURES = frozenset(
    ["фото", "фотография", "картинка", "изображение", "кадр", "фрейм", "снимок", "рисунок", "мем", "комикс"]
)
_PICTURES |= {"скриншот", "скрин", "коллаж"}
_WRITINGS = frozenset(
    ["надпись", "подпись", "текст", "твит", "пост", "комментарий", "запись", "заголовок", "диалог", "ответ"]
)
_WRITINGS |= {"переписка", "сообщение"}
_PEOPLE = frozenset(("пользователь", "автор", "неизвестный"))
_PLACES = frozenset(
    ("сверху", "снизу", "ниже", "выше", "внизу", "вверху", "слева", "справа", "посередине", "рядом")
)
_PREPOSITIONS = frozenset(("на", "в", "из", "с", "под", "над"))
_PRONOUNS = frozenset(("он", "она", "оно", "они", "его", "её", "ее", "их", "ему", "ей", "им"))
_NUMBERS = {
    2: ("два", "две", "двух", "2"),
    3: ("три", "трёх", "трех", "3"),
    4: ("четыре", "четырёх", "четырех", "4"),
    5: ("пять", "пяти", "5"),
    6: ("шесть", "шести", "6"),
}
_ENDS = frozenset((".", "!", "?", "…", "...", ";"))

_ORDER = frozenset(["первый", "второй", "третий", "четвертый", "пятый", "шестой", "последний", "часть"])
_SIDES = frozenset(["нижний", "верхний", "левый", "правый", "сторона", "центр", "середина"])
LAYOUT = _ORDER | _SIDES | {"английский", "русский", "фон", "белый", "черный"}
"""Concepts that the lines and frames themselves show: always allowed."""


@dataclass
class Cutter:
    """Knows the roles of a vocabulary's words; ``lemma_of`` gives the dictionary form of a word.

    ``word_concepts``: for each word id the concept it names, or a negative number where it names none (-1)
    or one that was never learnt (-2).
    """

    tokenizer: SlotTokenizer
    word_concepts: Sequence[int]
    lemma_of: Callable[[str], str]
    pictures: set[int] = field(init=False, default_factory=set)
    writings: set[int] = field(init=False, default_factory=set)
    anchors: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        for i, word in enumerate(self.tokenizer.words):
            lemma = self.lemma_of(word) if word[:1].isalpha() else word
            if lemma in _PICTURES:
                self.pictures.add(i)
            if lemma in _WRITINGS:
                self.writings.add(i)
            if lemma in _PICTURES | _WRITINGS | _PEOPLE or word in _PLACES:
                self.anchors.add(i)
        self._open, self._close = self.tokenizer.id(OPEN), self.tokenizer.id(CLOSE)
        self._colon, self._stop = self.tokenizer.id(":"), self.tokenizer.id(".")
        self._ends = self._ids(_ENDS)
        self._lead = [self.tokenizer.ids[word] for word in ("подпись", ":") if word in self.tokenizer.ids]
        self._prepositions = self._ids(_PREPOSITIONS)
        # An unknown word (id of UNK) names something nobody learnt: it is cut like one, not skipped.
        special = set(SPECIAL) - {OPEN, CLOSE, UNK}
        self._special = {self.tokenizer.ids[word] for word in special} | set(self.tokenizer.levels)
        self._special |= self._ids("*_`")
        self._unknown = self.tokenizer.id(UNK)
        self._pronouns = self._ids(_PRONOUNS)
        self._genre = self._ids(("мем",))
        self._places = self._ids(_PLACES)

        self._numbers = {
            self.tokenizer.ids[word]: number
            for number, words in _NUMBERS.items()
            for word in words
            if word in self.tokenizer.ids
        }

    def _ids(self, words: Iterable[str]) -> set[int]:
        return {self.tokenizer.ids[word] for word in words if word in self.tokenizer.ids}

    def __call__(
        self, tokens: Sequence[int], allowed: Collection[int], *, frames: int | None = None
    ) -> list[int]:
        """The caption's tokens (no start and end tokens) without what ``allowed`` concepts do not support.

        ``frames``: how many the picture has; another number of them is cut. None: nobody counted.
        """
        if frames is not None:
            tokens = [
                self._unknown if self._numbers.get(token, frames) != frames else token for token in tokens
            ]
        kept: list[int] = []
        for sentence in self._sentences([token for token in tokens if token not in self._special]):
            kept += self._sentence(sentence, allowed)
        return kept

    # --- sentences ---

    def _sentences(self, tokens: Sequence[int]) -> list[list[int]]:
        sentences: list[list[int]] = [[]]
        inside = False
        for token in tokens:
            sentences[-1].append(token)
            inside = (inside or token == self._open) and token != self._close
            if token in self._ends and not inside:
                sentences.append([])
        return [sentence for sentence in sentences if sentence]

    def _sentence(self, sentence: list[int], allowed: Collection[int]) -> list[int]:
        end = [sentence.pop()] if sentence[-1] in self._ends else []
        out: list[int] = []
        words: list[int] = []
        quote: list[int] | None = None
        for token in sentence:
            if token == self._open:
                quote = []
            elif token == self._close:
                # A quotation of nothing goes with its lead.
                if quote:
                    lead = self._cut_lead(words, allowed)
                    if out and lead == self._lead and out[-1] == self._close:
                        out.append(self._stop)
                    out += [*lead, self._open, *quote, token]
                words, quote = [], None
            elif quote is not None:
                quote.append(token)
            else:
                words.append(token)
        if quote:  # the caption was cut short within a quotation: what was read is told all the same
            out += [*self._cut_lead(words, allowed), self._open, *quote, self._close]
            words = []
        out += self._cut_tail(words, allowed, first=not out)
        return [*out, *(end or [self._stop])] if out else []

    def _unsupported(self, word: int, allowed: Collection[int]) -> bool:
        if word >= len(self.word_concepts):
            return False
        concept = self.word_concepts[word]
        missing = concept == -2 or (concept >= 0 and concept not in allowed)
        return missing or word == self._unknown or word in self._pronouns

    def _cut_lead(self, words: list[int], allowed: Collection[int]) -> list[int]:
        """Before a quotation: its nearest plain announcement is kept, or a plain one put there."""
        bad = [i for i, word in enumerate(words) if self._unsupported(word, allowed)]
        if not bad:
            return words
        before = self._until_anchor(words[: bad[0]])
        after = words[bad[-1] + 1 :]
        if after == [self._colon] and any(word in self.writings for word in before):
            return [*before, self._colon]
        named = [i for i, word in enumerate(after) if word in self.writings]
        return [*self._place(before), *(after[named[-1] :] if named else self._lead)]

    def _place(self, before: list[int]) -> list[int]:
        """Of the words before the cut, what can stand before "подпись:": "на первом кадре", "ниже",
        "фото.".
        """
        if not before or any(word in self.writings for word in before):
            return []
        if before[0] in self._prepositions:
            return before
        if any(word in self.pictures for word in before):
            return [*before, self._stop]
        return before if before[0] in self._places and len(before) == 1 else []

    def _cut_tail(self, words: list[int], allowed: Collection[int], *, first: bool) -> list[int]:
        """What stands after the last quotation of a sentence, or a sentence without any (``first``)."""
        bad = [i for i, word in enumerate(words) if self._unsupported(word, allowed)]
        if not bad and not (first and self._announces(words)):
            return words
        kept = self._until_anchor(words[: bad[0]] if bad else words)
        if not any(word in self.pictures for word in kept) or self._announces(kept):
            return []
        if len(kept) == 1 and kept[0] in self._genre:
            return []  # "Мем." says nothing
        if first and kept[0] in self._prepositions:
            # "На фотографии" alone is no sentence; "Фотография" is.
            pictures = [word for word in kept if word in self.pictures]
            if len(kept) > 2:
                return []
            lemma = self.lemma_of(self.tokenizer.words[pictures[-1]])
            nominative = self.tokenizer.ids.get(lemma)
            return [] if nominative is None else [nominative]
        return kept

    def _announces(self, words: list[int]) -> bool:
        return any(word in self.writings for word in words)

    def _until_anchor(self, words: list[int]) -> list[int]:
        end = len(words)
        while end and words[end - 1] not in self.anchors:
            end -= 1
        return words[:end]

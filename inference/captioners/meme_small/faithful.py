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

from inference.captioners.meme_small.grammar import is_well_formed
from inference.captioners.meme_small.phrases import Pruner
from inference.tokenizers.slots import CLOSE, OPEN, SPECIAL, UNK, SlotTokenizer

# Nouns (lemmas) that a sentence about a meme can end with and that need no seeing.
_PICTURES = frozenset(
    ["фото", "фотография", "картинка", "изображение", "кадр", "фрейм", "снимок", "рисунок", "мем", "комикс"]
)
_PICTURES |= {"скриншот", "скрин", "коллаж"}
_WRITINGS = frozenset(
    ["надпись", "подпись", "текст", "твит", "пост", "комментарий", "запись", "заголовок", "диалог", "ответ"]
)
_WRITINGS |= {"переписка", "сообщение"}
_PLACES = frozenset(
    ("сверху", "снизу", "ниже", "выше", "внизу", "вверху", "слева", "справа", "посередине", "рядом")
)
_PREPOSITIONS = frozenset(("на", "в", "из", "с", "под", "над"))
# Whom a caption speaks of is not known, and a name would have to be said first.
_NEVER_SAID = frozenset(
    ("он", "она", "оно", "они", "его", "её", "ее", "их", "ему", "ей", "им", "него", "неё", "нее", "них")
)
_NEVER_SAID |= {"нему", "ней", "ним", "нею", "ими", "ними", "нём", "нем", "я", "ты", "мы", "вы"}
_NEVER_SAID |= {"двое", "трое", "оба", "обе"}  # how many there are, nobody counted
_NEVER_SAID |= {"язык", "языка", "языке"}  # "на английском" says it; without that word nothing does
_NUMBERS = {
    2: ("два", "две", "двух", "2"),
    3: ("три", "трёх", "трех", "3"),
    4: ("четыре", "четырёх", "четырех", "4"),
    5: ("пять", "пяти", "5"),
    6: ("шесть", "шести", "6"),
}
_ORDINALS = ("первый", "второй", "третий", "четвертый", "пятый", "шестой")
_ENDS = frozenset((".", "!", "?", "…", "...", ";"))

_POSTS = frozenset(["твит", "твиттер", "пост", "комментарий", "пользователь", "автор", "ник"])
_POSTS |= {"вк", "вконтакте", "сайт"}
_ORDER = frozenset(["первый", "второй", "третий", "четвертый", "пятый", "шестой", "последний", "часть"])
_SIDES = frozenset(["нижний", "верхний", "левый", "правый", "сторона", "центр", "середина"])
LAYOUT = _ORDER | _SIDES | {"английский", "русский"}
"""Concepts that the lines and frames themselves show: always allowed."""


@dataclass(frozen=True, slots=True)
class Evident:
    """What the lines and frames of a picture show without a detector."""

    frames: int  # how many: another number of them is not said
    signed: bool  # an account is read that posted the words: without one, nobody's post is told of


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
    posts: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        for i, word in enumerate(self.tokenizer.words):
            lemma = self.lemma_of(word) if word[:1].isalpha() else word
            if lemma in _PICTURES:
                self.pictures.add(i)
            if lemma in _WRITINGS:
                self.writings.add(i)
            if lemma in _POSTS:
                self.posts.add(i)
        self._open, self._close = self.tokenizer.id(OPEN), self.tokenizer.id(CLOSE)
        self._colon, self._stop = self.tokenizer.id(":"), self.tokenizer.id(".")
        self._comma = self.tokenizer.id(",")
        self._prune = Pruner(self.tokenizer.words)
        self._ends = self._ids(_ENDS)
        self._lead = [self.tokenizer.ids[word] for word in ("подпись", ":") if word in self.tokenizer.ids]
        self._prepositions = self._ids(_PREPOSITIONS)
        # An unknown word (id of UNK) names something nobody learnt: it is cut like one, not skipped.
        special = set(SPECIAL) - {OPEN, CLOSE, UNK}
        self._special = {self.tokenizer.ids[word] for word in special} | set(self.tokenizer.levels)
        self._special |= self._ids("*_`")
        self._unknown = self.tokenizer.id(UNK)
        self._structure = {self.tokenizer.ids[word] for word in SPECIAL} | set(self.tokenizer.levels)
        self._never_said = self._ids(_NEVER_SAID)
        self._genre = self._ids(("мем",))
        self._bare = self._ids(("фото", "фотография", "картинка", "изображение", "кадр", "снимок"))
        self._bare |= self._ids(("фотографии", "картинке", "изображении", "кадре", "снимке"))
        shown = ("изображен", "изображена", "изображено", "изображены", "показан", "показана", "показано")
        self._shown = self._ids((*shown, *(word.replace("жен", "жён") for word in shown)))
        self._places = self._ids(_PLACES)

        self._ordinals = {
            i: _ORDINALS.index(form) + 1
            for i, word in enumerate(self.tokenizer.words)
            if word[:1].isalpha() and (form := self.lemma_of(word)) in _ORDINALS
        }
        self._several = self._ids(("кадров", "кадры", "кадрах", "частей", "фреймов", "фреймы", "картинок"))
        self._numbers = {
            self.tokenizer.ids[word]: number
            for number, words in _NUMBERS.items()
            for word in words
            if word in self.tokenizer.ids
        }

    def _ids(self, words: Iterable[str]) -> set[int]:
        return {self.tokenizer.ids[word] for word in words if word in self.tokenizer.ids}

    def __call__(
        self, tokens: Sequence[int], allowed: Collection[int], *, evident: Evident | None = None
    ) -> list[int]:
        """The caption's tokens (no start and end tokens) without what ``allowed`` concepts do not support.

        ``evident``: of a picture that a decoder described: without what is evidently not so, or no Russian.
        None: a person wrote it.
        """
        if evident is not None:
            tokens = [self._unknown if self._is_belied(token, evident) else token for token in tokens]
        kept: list[int] = []
        said: set[tuple[int, ...]] = set()
        for sentence in self.sentences([token for token in tokens if token not in self._special]):
            own = self._sentence(sentence, allowed, checked=evident is not None)
            if tuple(own) not in said:
                kept += own
            said.add(tuple(own))
        return kept

    def _is_belied(self, word: int, evident: Evident) -> bool:
        return self._miscounts(word, evident.frames) or (word in self.posts and not evident.signed)

    def _miscounts(self, word: int, frames: int) -> bool:
        """Whether the word speaks of more or fewer frames than there are."""
        if frames == 0 and word in self._bare:
            return True  # a page of text is no photo
        if frames < 2:
            return word in self._several or word in self._numbers or word in self._ordinals
        return self._numbers.get(word, frames) != frames or self._ordinals.get(word, 0) > frames

    def forbidden(self, allowed: Collection[int], evident: Evident) -> list[bool]:
        """For each word of the vocabulary whether a caption of this picture may not say it."""
        return [
            word not in self._structure
            and (self._unsupported(word, allowed) or self._is_belied(word, evident))
            for word in range(len(self.word_concepts))
        ]

    # --- sentences ---

    def is_bare(self, sentence: Sequence[int]) -> bool:
        """ "Фото.", "На картинке.": a sentence that only says that there is a picture."""
        idle = self._ends | self._prepositions | self._shown | self._genre
        said = [word for word in sentence if word not in idle]
        return bool(said) and all(word in self._bare for word in said)

    def sentences(self, tokens: Sequence[int]) -> list[list[int]]:
        """The tokens of a caption, a list for each sentence; what is quoted is one piece."""
        sentences: list[list[int]] = [[]]
        inside = False
        for token in tokens:
            sentences[-1].append(token)
            inside = (inside or token == self._open) and token != self._close
            if token in self._ends and not inside:
                sentences.append([])
        return [sentence for sentence in sentences if sentence]

    def _sentence(self, sentence: list[int], allowed: Collection[int], *, checked: bool) -> list[int]:
        """``checked``: what stands around its quotations must also be Russian."""

        def lead_of(words: list[int]) -> list[int]:
            lead = self._cut_lead(words, allowed)
            return self._lead if checked and not self._reads_well(lead) else lead

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
                    lead = lead_of(words)
                    if out and lead == self._lead and out[-1] == self._close:
                        out.append(self._stop)
                    out += [*lead, self._open, *quote, token]
                words, quote = [], None
            elif quote is not None:
                quote.append(token)
            else:
                words.append(token)
        if quote:  # the caption was cut short within a quotation: what was read is told all the same
            out += [*lead_of(words), self._open, *quote, self._close]
            words = []
        tail = self._cut_tail(words, allowed, first=not out)
        if not checked or self._reads_well(tail):
            out += tail
        return [*out, *(end or [self._stop])] if out else []

    def _reads_well(self, words: Sequence[int]) -> bool:
        return is_well_formed([self.tokenizer.words[word] for word in words])

    def _unsupported(self, word: int, allowed: Collection[int]) -> bool:
        if word >= len(self.word_concepts):
            return False
        concept = self.word_concepts[word]
        missing = concept == -2 or (concept >= 0 and concept not in allowed)
        return missing or word == self._unknown or word in self._never_said

    def _cut_lead(self, words: list[int], allowed: Collection[int]) -> list[int]:
        """Before a quotation: what of it is supported; where the announcement went, a plain one instead."""

        def bad(word: int) -> bool:
            return self._unsupported(word, allowed)

        if not any(map(bad, words)):
            return words
        comma = max((i for i, word in enumerate(words) if word == self._comma), default=-1)
        announcement = words[comma + 1 :]
        if comma >= 0 and not any(map(bad, announcement)) and self._announces(announcement):
            kept = self._prune(words[:comma], bad)
            return [*kept, self._comma, *announcement] if kept else announcement
        announced = words[-1] == self._colon
        kept = self._prune(words[:-1] if announced else words, bad)
        if not kept:
            return self._lead
        if announced and self._announces(kept):
            return [*kept, self._colon]
        if self._is_place(kept):
            return [*kept, *self._lead]
        return [*kept, self._stop, *self._lead]

    def _is_place(self, words: Sequence[int]) -> bool:
        """ "На первом кадре", "ниже": what can stand before "подпись:"."""
        if not words:
            return False
        if len(words) == 1 and words[0] in self._places:
            return True
        nouns = [word for word in words if self._prune.is_noun(word)]
        return words[0] in self._prepositions and bool(nouns) and all(word in self.pictures for word in nouns)

    def _cut_tail(self, words: list[int], allowed: Collection[int], *, first: bool) -> list[int]:
        """What stands after the last quotation of a sentence, or a sentence without any (``first``)."""

        def bad(word: int) -> bool:
            # An announcement of a quotation that does not come says nothing.
            return self._unsupported(word, allowed) or (first and word in self.writings)

        if sum(word in self._shown for word in words) > 1:
            return []  # "изображён изображена": nothing is said
        whole = not any(map(bad, words))
        if whole and (not first or self._prune.has_subject(words)):
            return words
        kept = words if whole else self._prune(words, bad)
        if first and self._is_place(kept):
            return self._place_alone(kept)
        empty = not whole and len(kept) == 1 and kept[0] in self._genre  # "Мем." says nothing
        if empty or not self._prune.has_subject(kept):
            return []
        return [self._comma, *kept] if not first and words[0] == self._comma else kept

    def _place_alone(self, words: list[int]) -> list[int]:
        """ "На фотографии" alone is no sentence; "Фотография" is."""
        nominative = self.tokenizer.ids.get(self.lemma_of(self.tokenizer.words[words[-1]]))
        return [] if len(words) > 2 or nominative is None else [nominative]

    def _announces(self, words: list[int]) -> bool:
        return any(word in self.writings for word in words)

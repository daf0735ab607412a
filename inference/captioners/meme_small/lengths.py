"""How much of a picture is told: the sentences of a short, a usual and a detailed caption."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from inference.captioners.meme_small.known import Known
from inference.captioners.meme_small.narration import Written, narrate
from inference.common.places import Region
from inference.common.types import Detail
from inference.pictures.colours import Palette
from inference.reading.geometry import Box, shared_span
from inference.reading.places import where
from inference.reading.reading import Reading
from inference.reading.summary import kind_of
from inference.russian.counting import counted, genitive
from inference.russian.leads import are_announced_alike, led, placed_exactly
from inference.russian.lists import LISTS
from inference.russian.places import on_frame
from inference.russian.sentences import Sentence, continued, joined, listed, quotations_of

_LISTS = LISTS.telling
_NARROW = 0.6  # of a frame's width: wider words stand at neither side
_SIDE = 1 / 3  # of a frame's width: words whose middle is nearer to an edge stand at that side


def _usual(known: Known) -> list[Sentence]:
    """In the order in which one reads a picture."""
    return narrate(known.written, *known.shown())


# --- short ---


def _short(known: Known) -> list[Sentence]:
    """One sentence says who is there and what they do, another the words."""
    quoting = [one for one in known.written if one.quotes]
    words_first = bool(quoting) and all(
        one.place is not None and one.place.region is Region.ABOVE for one in quoting
    )
    scene, words = _scene(known, below=words_first), _together(quoting)
    return [*words, *scene] if words_first else [*scene, *words]


def _scene(known: Known, *, below: bool) -> list[Sentence]:
    """One sentence at most. ``below``: words stand above the picture, and were told."""
    frames = len(known.view.reading.frames)
    place = _LISTS.on_frames.format(genitive(frames)) if frames > 1 else known.on_picture()
    place = f"{LISTS.places.lower} {place}" if below else place
    without = [one for one in known.written if not one.quotes]
    seen = [one.sentence for one in without if one.seen]
    # Of somebody who is not alone with them hands and faces are no news.
    main = [one for one in known.probable if one[0] not in LISTS.things.body]
    shown = known.things(main, place) or known.things(known.probable, place)
    return [*seen, *shown, *(one.sentence for one in without)][:1]


def _together(quoting: Sequence[Written]) -> list[Sentence]:
    """All quotations in one sentence, which says who wrote which where somebody is known."""
    if len(quoting) < 2:
        return [led(one.sentence, one.place) for one in quoting]
    by_author = [
        (author, listed(piece for one in theirs for piece in quotations_of(one.sentence)))
        for author, theirs in groupby(quoting, key=lambda one: one.sentence.author)
    ]
    (author, body), *others = by_author
    if not author and not others:
        return [Sentence(lead=(_LISTS.written,), body=body)]
    for other, quotations in others:
        body += (";", *_announced(other), other, ":", *quotations)
    return [Sentence(lead=_announced(author), author=author, body=body)]


def _announced(author: str) -> tuple[str, ...]:
    return tuple((LISTS.leads.post if author else LISTS.leads.plain).split())


# --- detailed ---


def _detailed(known: Known) -> list[Sentence]:
    """How the picture is laid out; then as usual, with the colours, and where exactly words stand."""
    reading = known.view.reading
    layout = _layout(reading)
    # What the decoder says of the layout is said by that.
    written = [_exactly(one, reading) for one in known.written if one.quotes or one.seen or not layout]
    return [*layout, *narrate(list(_announced_once(written)), *_coloured(known))]


def _announced_once(written: Iterable[Written]) -> Iterator[Written]:
    """What stands at one place, one after the other, and is announced alike, in one sentence."""
    last: Written | None = None
    for one in written:
        if last is not None and _is_announced(last, one):
            last = replace(last, sentence=continued(last.sentence, one.sentence))
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


def _is_announced(one: Written, other: Written) -> bool:
    """Whether what announces a quotation announces the next one too."""
    alike = one.place == other.place and are_announced_alike(one.sentence, other.sentence)
    return one.quotes and other.quotes and alike


def _coloured(known: Known) -> tuple[list[Sentence], dict[int, list[Sentence]]]:
    """What is shown, and the colours behind it: of all frames together where they have the same, else of each
    whose colours were not told before.
    """
    things, scenes = known.shown()
    colours = [_colours(one) for one in known.view.palettes]
    first = {colours.index(text): text for text in colours if text}  # each where it is told
    if len(set(colours)) == 1:
        return [*things, *(Sentence(body=(text,)) for text in first.values())], scenes
    for number, text in first.items():
        scene = scenes.get(number, [])
        scenes[number] = [*scene, Sentence("" if scene else on_frame(number), body=(text,))]
    return things, scenes


def _layout(reading: Reading) -> list[Sentence]:
    """What kind of picture it is, and how its frames stand; nothing of a picture that is simply one."""
    kind = kind_of(reading)
    if len(reading.frames) < 2:
        return [] if kind == LISTS.summary.picture else [Sentence(body=(kind,))]
    rows = 1 + sum(shared_span(*one[1::2], *other[1::2]) < 0.5 for one, other in pairwise(reading.frames))
    if rows == len(reading.frames):
        return [Sentence(body=(kind, ",", _LISTS.column))]
    if rows == 1:
        return [Sentence(body=(kind, ",", _LISTS.row))]
    return [Sentence(body=(kind, _LISTS.rows.format(counted(_LISTS.one_row, rows))))]


def _colours(palette: Palette) -> str:
    """What a sentence says of the colours; "" where there is nothing to tell."""
    if palette.colourless:
        return _LISTS.colourless
    names = [_LISTS.colours[colour] for colour in palette.colours]
    phrase = _LISTS.one_colour if len(names) == 1 else _LISTS.two_colours
    return phrase.format(joined(names)) if names else ""


def _exactly(one: Written, reading: Reading) -> Written:
    """The sentence with the exact place of its quotation: "надпись сверху слева"."""
    number = None if one.box is None else where(one.box, reading.frames).frame
    if one.box is None or number is None:
        return one
    frame = reading.frames[number]
    middle = (one.box[0] + one.box[2]) / 2
    width = frame[2] - frame[0]
    side = ""
    if one.box[2] - one.box[0] < _NARROW * width:
        share = (middle - frame[0]) / width
        side = LISTS.places.left if share < _SIDE else LISTS.places.right if share > 1 - _SIDE else ""
    sentence = placed_exactly(one.sentence, _region(one, frame), side)
    if one.frame is not None and not sentence.place:
        sentence = replace(sentence, place=on_frame(one.frame))
    return replace(one, sentence=sentence)


def _region(one: Written, frame: Box) -> Region:
    """Where the quotation stands on the frame that it is on."""
    if one.place is None or one.box is None:
        return Region.PAGE  # where no place is told, above the picture is another one of that name
    # The usual caption tells where its first line stands; the others must not gainsay it.
    return one.place.region if one.place.region in LISTS.leads.at else where(one.box, [frame]).region


LENGTHS: dict[Detail, Callable[[Known], list[Sentence]]] = {
    "short": _short,
    "usual": _usual,
    "detailed": _detailed,
}

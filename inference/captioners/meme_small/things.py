"""What the detectors saw, in plain sentences: "На фото мужчина и кот сидят. Также видно руку и диван."

A language model trained on some thousands of descriptions says little of what is known, and what it is
made to say breaks its sentences. So it writes the frame (layout and quotations), and these few templates
the things and what they do; only words are chosen by what was seen, their forms by pymorphy3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

from inference.russian.lists import LISTS
from inference.russian.morphology import inflected, parses, written
from inference.russian.sentences import Sentence, joined

_LISTS = LISTS.things
_MOST_BEINGS, _MOST_THINGS, _MOST_ACTIONS = 3, 5, 3


def is_thing(concept: str) -> bool:
    """Whether a concept can be listed."""
    tag, _ = parses(concept)[0]
    return tag.POS == "NOUN" and concept not in _LISTS.unlisted and concept not in _LISTS.sources


def is_drawn(concepts: Iterable[str]) -> bool:
    """Whether these concepts are of a drawing, not of a photo."""
    return not _LISTS.drawn.isdisjoint(concepts)


Seen = tuple[str, float]
"""A concept and how probable it is."""


def tell_things(
    concepts: Sequence[Seen], said: Collection[str], *, place: str, acting: float
) -> list[Sentence]:
    """A few sentences, or none.

    ``concepts``: those that are probable enough; ``said``: lemmas that the caption has already; ``place``:
    what the first sentence begins with ("на фото"); ``acting``: how probable an action must be.
    """
    ordered = sorted(concepts, key=lambda pair: -pair[1])
    names = _distinct([concept for concept, _ in ordered if is_thing(concept)], said)
    beings = [name for name in names if is_being(name)][:_MOST_BEINGS]
    things = [name for name in names if not is_being(name)][:_MOST_THINGS]
    actions = _actions([concept for concept, probability in ordered if probability >= acting], said)
    if not beings and not actions and all(thing in _LISTS.body for thing in things):
        # A hand of nobody must be as sure as an action: "На фото рука" is said too easily.
        things = [thing for thing in things if dict(concepts)[thing] >= acting]
    known = [lemma for lemma in said if is_being(lemma)]
    sentences = _of_beings(beings, actions, known, place)
    if things:
        things.sort(key=_LISTS.body.__contains__)
        if sentences or known:
            sentences.append(Sentence(body=(_LISTS.also, joined(map(_seen, things)))))
        else:
            sentences.append(Sentence(place, body=(joined(map(_name, things)),)))
    sources = (_LISTS.sources[one] for one, _ in ordered if one in _LISTS.sources and one not in said)
    return [*sentences, *(Sentence(body=(_LISTS.taken, source)) for source in islice(sources, 1))]


def tells_doings_alone(concepts: Sequence[Seen], said: Collection[str], acting: float) -> bool:
    """Whether :func:`tell_things` says what beings do that the caption has already, and of no others."""
    names = _distinct([concept for concept, _ in concepts if is_thing(concept)], said)
    doing = _actions([concept for concept, probability in concepts if probability >= acting], said)
    return bool(doing) and not any(map(is_being, names))


def _of_beings(
    beings: Sequence[str], actions: Sequence[str], known: Sequence[str], place: str
) -> list[Sentence]:
    """Who is there and what they do; ``known``: beings that the caption has already."""
    doing = joined(_doing(action, many=len(beings) > 1) for action in actions)
    if beings:
        more = f"{_LISTS.more} {place}" if known else place
        return [Sentence(more, body=(joined(map(_name, beings)), doing))]
    if not actions:
        return []
    if len(known) == 1:
        return [Sentence(body=(written(known[0]), doing))]
    return [Sentence(place, body=(_LISTS.someone, doing))]


def share_out(
    concepts: Sequence[Seen], by_frame: Sequence[Mapping[str, float]], listed: float
) -> tuple[list[Seen], list[list[Seen]]]:
    """What to tell of all frames together, and what of each, of what is on the picture.

    A being is told of every frame that has it, anything else once, where it is likeliest; what beings do, and
    their hands and faces, where there are beings. ``concepts``: of the whole picture; ``by_frame``: how
    probable they are on each frame, where ``listed`` is enough (and the likeliest one has it in any case).
    """
    names = _distinct([name for name, _ in sorted(concepts, key=lambda one: -one[1]) if is_thing(name)], ())
    concepts = [one for one in concepts if not is_thing(one[0]) or one[0] in names]
    everywhere, frames = _beings_by_frame(concepts, by_frame, listed)
    hosts = [number for number, frame in enumerate(frames) if frame]
    for concept, probability in concepts:
        if is_being(concept):
            continue
        of_beings = concept in _LISTS.body or not is_thing(concept)
        together = bool(everywhere) or not hosts
        all_have_it = all(seen[concept] >= listed for seen in by_frame)
        if together and (all_have_it or (of_beings and not hosts and everywhere)):
            everywhere.append((concept, probability))
            continue
        among = hosts if of_beings and hosts else range(len(frames))
        frames[max(among, key=lambda number: by_frame[number][concept])].append((concept, probability))
    return everywhere, frames


def _beings_by_frame(
    concepts: Sequence[Seen], by_frame: Sequence[Mapping[str, float]], listed: float
) -> tuple[list[Seen], list[list[Seen]]]:
    """The beings that are on all frames, and those of each; see :func:`share_out`."""
    everywhere: list[Seen] = []
    frames: list[list[Seen]] = [[] for _ in by_frame]
    for being, probability in concepts:
        if not is_being(being):
            continue
        own = [seen[being] for seen in by_frame]
        least = min(listed, max(own))
        there = [frame for frame, value in zip(frames, own, strict=True) if value >= least]
        for told in [everywhere] if len(there) == len(frames) else there:
            told.append((being, probability))
    return everywhere, frames


def _distinct(names: Iterable[str], said: Collection[str]) -> list[str]:
    """Each thing by one name, and none that was said."""
    kept: list[str] = []
    for name in names:
        same = next((group for group in _LISTS.same if name in group), frozenset({name}))
        if same.isdisjoint(kept) and same.isdisjoint(said):
            kept.append(name)
    if _LISTS.anybody in said:
        return [name for name in kept if name not in _LISTS.people]
    someone = not _LISTS.people.isdisjoint([*kept, *said])
    return [name for name in kept if name != _LISTS.anybody or not someone]


def is_being(concept: str) -> bool:
    """Whether a concept is somebody who can do something."""
    animate = is_thing(concept) and parses(concept)[0][0].animacy == "anim"
    return bool(animate and concept not in _LISTS.lifeless)


def _name(concept: str) -> str:
    return _LISTS.plural.get(concept) or written(concept)


def _seen(concept: str) -> str:
    """What "видно" asks for: "руку", "глаза"."""
    if concept in _LISTS.lifeless:
        return _name(concept)
    number = {"accs", "plur"} if concept in _LISTS.plural else {"accs"}
    return inflected(concept, number)


def _actions(concepts: Sequence[str], said: Collection[str]) -> list[str]:
    """At most one posture, first, and what is done in it."""
    fresh = [concept for concept in concepts if concept not in said]
    postures = [_LISTS.postures[one] for one in fresh if one in _LISTS.postures]
    if any(one in said for one in _LISTS.postures):
        postures = []
    return [*postures[:1], *(one for one in fresh if one in _LISTS.actions)][:_MOST_ACTIONS]


def _doing(action: str, *, many: bool) -> str:
    form = inflected(action, {"VERB", "3per", "pres", "plur" if many else "sing"})
    return f"{form} {_LISTS.actions.get(action, '')}".strip()

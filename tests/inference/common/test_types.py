"""The plain data every side shares."""

import json
from typing import Any

import pytest

from inference.common.types import Answer, Caption, DecodingOptions, PictureError


def a_caption(**changes: Any) -> Caption:
    values: dict[str, Any] = {
        "summary": "Мем с котом",
        "text": "На картинке кот, рядом надпись «ПОНЕДЕЛЬНИК».",
        "words": ("ПОНЕДЕЛЬНИК", "опять"),
        "model": "meme-small",
        "checkpoint": "ab" * 32,
        "program": "cd" * 8,
        "options": DecodingOptions(strategy="sample", temperature=0.7, seed=5),
        "seconds": {"decode": 0.01, "total": 0.5},
        "confidence": 0.25,
        "notes": ("low_confidence",),
    }
    return Caption(**(values | changes))


def test_a_caption_survives_json() -> None:
    caption = a_caption()
    assert Caption.from_dict(json.loads(json.dumps(caption.to_dict()))) == caption


def test_an_answer_survives_json() -> None:
    answer = Answer("Кот.", "talker", "ab" * 32, "cd" * 8, {"total": 0.5}, ("upside_down",))
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer


def test_what_is_asked_under_a_picture_parts_its_descriptions() -> None:
    asked = DecodingOptions("own", question="Кто это?")
    assert asked.key() != DecodingOptions("own").key()
    assert DecodingOptions.telling(detail="usual", quoting=True, language="ru", question="Кто это?") == asked
    assert asked.of_model(DecodingOptions(beams=5)).question == "Кто это?"
    with pytest.raises(ValueError, match="1000 characters at most"):
        DecodingOptions(question="?" * 1001)


def test_a_caption_with_a_missing_field_is_refused() -> None:
    values = a_caption().to_dict()
    del values["text"]
    with pytest.raises(TypeError):
        Caption.from_dict(values)


def test_options_survive_json_and_defaults_fill_the_rest() -> None:
    options = DecodingOptions(strategy="greedy", max_tokens=40)
    assert DecodingOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options
    assert DecodingOptions.from_dict({"beams": 5}) == DecodingOptions(beams=5)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ValueError, match="must be a table of names and values"):
        DecodingOptions.from_dict([])  # type: ignore[arg-type]  # which is refused
    with pytest.raises(ValueError, match="beamz"):
        DecodingOptions.from_dict({"beamz": 3})


@pytest.mark.parametrize(
    "values",
    [
        {"strategy": "magic"},
        {"beams": 0},
        {"temperature": 0},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.5},
        {"max_tokens": 0},
        {"min_tokens": 161},
        {"min_tokens": -1},
        {"repetition_penalty": 0},
        {"no_repeat_ngram": -1},
        {"beams": 2.5},
        {"beams": "3"},
        {"max_tokens": True},
        {"top_k": None},
        {"temperature": "1"},
        {"temperature": float("inf")},
        {"top_p": float("nan")},
        {"length_penalty": 51},
        {"length_penalty": None},
        {"seed": 1.5},
        {"seed": 2**64},
        {"seed": "7"},
    ],
)
def test_values_out_of_range_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"(?i){next(iter(values))}"):
        DecodingOptions(**values)


def test_the_key_tells_apart_only_what_changes_the_caption() -> None:
    beam = DecodingOptions()
    assert beam.key() == DecodingOptions(temperature=0.3, top_k=9, seed=7).key(), (
        "sampling options do not matter"
    )
    assert beam.key() == DecodingOptions(length_penalty=1).key(), "1 is 1.0"
    others = [
        DecodingOptions(beams=4),
        DecodingOptions(strategy="greedy"),
        DecodingOptions(strategy="sample"),
        DecodingOptions(strategy="sample", seed=1),
        DecodingOptions(strategy="sample", seed=2),
        DecodingOptions(strategy="sample", top_p=0.8),
        DecodingOptions(max_tokens=10),
        DecodingOptions(no_repeat_ngram=3),
    ]
    assert len({option.key() for option in [beam, *others]}) == len(others) + 1


def test_the_key_is_the_same_in_every_process_and_release() -> None:
    """It is stored in databases: changing it forgets every cached caption."""
    assert DecodingOptions().key() == "ac64bcdd7a9a557f"


def test_a_picture_error_is_a_sentence_with_a_code() -> None:
    error = PictureError("empty", "The file is empty: send it again.")
    assert (error.code, str(error)) == ("empty", "The file is empty: send it again.")
    assert isinstance(error, ValueError)


def test_what_is_told_is_asked_of_any_search_and_leaves_the_usual_keys_alone() -> None:
    made_for = DecodingOptions(strategy="greedy", max_tokens=40)
    short = DecodingOptions.telling(detail="short", quoting=False, language="en")
    assert short is not None
    assert short.of_model(made_for) == DecodingOptions(
        strategy="greedy", max_tokens=40, detail="short", quoting=False, language="en"
    )
    sampled = DecodingOptions(strategy="sample", seed=4)
    assert sampled.of_model(made_for) == sampled, "an own search is kept"
    assert sampled.told_as(short).seed == 4 and sampled.told_as(short).detail == "short"
    assert DecodingOptions.telling(detail="usual", quoting=True, language="ru") is None
    keys = {
        DecodingOptions("own").key(),
        DecodingOptions("own", detail="short").key(),
        DecodingOptions("own", detail="detailed").key(),
        DecodingOptions("own", quoting=False).key(),
        DecodingOptions("own", language="uk").key(),
        DecodingOptions("greedy", language="uk").key(),
    }
    assert len(keys) == 6
    assert DecodingOptions("own", beams=9).key() == DecodingOptions("own").key()


@pytest.mark.parametrize("values", [{"detail": "long"}, {"language": "de"}, {"quoting": 1}])
def test_nothing_else_can_be_told(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        DecodingOptions(**values)

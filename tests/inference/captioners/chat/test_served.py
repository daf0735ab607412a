"""The models ``openai:NAME``, against a strict server that has the habits of real ones."""

from __future__ import annotations

import json
import logging
import queue
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from PIL import Image

from inference.captioners.captioner import Captioner, PatientCaptioner, load_captioner
from inference.captioners.chat.conversation import Conversation, Message
from inference.captioners.chat.describer import ServedDescriber
from inference.captioners.chat.server import Server, the_server
from inference.checkpoints import served
from inference.checkpoints.models import checkpoint_hash, list_models
from inference.checkpoints.names import ModelName, ServedModel
from inference.checkpoints.prompts import Prompts
from inference.checkpoints.served import ServerSettings
from inference.common.tracing import NamesPicture, of_picture
from inference.common.types import (
    JOKE,
    Asked,
    DecodingOptions,
    EngineBusy,
    EngineError,
    ModelNotLoaded,
    PictureTimeout,
    Turn,
    UnknownModel,
)
from inference.reading.reader import Reader
from inference.serving.local import File, Outcome, Ready, begin
from tests.drawing import draw_meme
from tests.inference.chat_server import (
    CREATED,
    SAID,
    ChatServer,
    Habit,
    babbles,
    cuts,
    refuses,
    says,
    streams,
)

KEY = "sk-not-to-be-told-to-anybody"
MEME = draw_meme("caption_bar", "Когда кот проснулся").convert("RGB")
BLANK = Image.new("RGB", (64, 48), "white")


@pytest.fixture(scope="module")
def listening() -> Iterator[ChatServer]:
    with ChatServer(key=KEY) as double:
        yield double


@pytest.fixture
def server(listening: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ChatServer]:
    """One that was asked nothing yet; what it is asked amiss fails the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", listening.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    served._server.cache_clear()
    listening.reset()
    yield listening
    assert listening.violations == []


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(threads=1)


@pytest.fixture
def captioner(server: ChatServer, reader: Reader) -> Iterator[Captioner]:
    """The model, with a reader that is loaded once for all tests."""
    describer = ServedDescriber.load(ServedModel("tiny"))
    name = ModelName.parse("openai:tiny")
    yield Captioner(str(name), checkpoint_hash(Path(), name), describer, reader, describer.options)
    end()


def end() -> None:
    """Close the connections of the servers that were asked."""
    settings = ServerSettings.of()
    the_server(settings).close()
    the_server.cache_clear()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client's own pauses are short; those that a server asks for stay what they are."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


def describe(captioner: Captioner, image: Image.Image = MEME, **options: Any) -> str:
    (caption,) = captioner.caption([image], DecodingOptions("own", **options))
    return caption.text


def test_a_picture_is_described_from_itself_and_the_words_read(
    captioner: Captioner, server: ChatServer
) -> None:
    server.script.append(says("Мем: над котом надпись «Когда кот проснулся»."))
    (caption,) = captioner.caption([MEME])
    assert caption.text == "Мем: над котом надпись «Когда кот проснулся»."
    assert caption.model == "openai:tiny"
    assert caption.words == ("Когда кот проснулся",)
    assert caption.notes == ()
    assert caption.confidence > 0.6
    assert {"read", "generate"} <= set(caption.seconds)
    ((asked,),) = server.told
    assert "- сверху: «Когда кот проснулся»" in asked
    assert "по-русски" in asked
    assert max(server.sizes[0]) <= 1024
    (request,) = server.requests
    assert (request["model"], request["max_tokens"]) == ("tiny", 1000)
    assert "temperature" not in request  # the model's own search


def test_length_language_and_quotations_are_asked_for(captioner: Captioner, server: ChatServer) -> None:
    asked = []
    texts = Prompts.read().texts
    for options in ({"detail": "short"}, {"detail": "detailed", "quoting": False}, {"language": "uk"}):
        describe(captioner, BLANK, **options)
        asked.append(server.told[-1][0])
    assert texts["short"] in asked[0]
    assert texts["quoting"] in asked[0]
    assert texts["detailed"] in asked[1]
    assert texts["apart"] in asked[1]
    assert "по-украински" in asked[2]
    server.usual = says("A cat sits on a table.")
    assert describe(captioner, BLANK, language="en") == "A cat sits on a table."
    assert "по-английски" in server.told[-1][0]


def test_another_version_is_drawn_by_its_seed(captioner: Captioner, server: ChatServer) -> None:
    captioner.caption([BLANK], DecodingOptions("sample", temperature=0.9, top_p=0.8, seed=2**63 + 5))
    (request,) = server.requests
    assert (request["temperature"], request["top_p"], request["seed"]) == (0.9, 0.8, 5)


def test_a_question_under_the_picture_is_answered_in_its_description(
    captioner: Captioner, server: ChatServer
) -> None:
    question = "Что это за порода? {language}"
    (caption,) = captioner.caption([BLANK], DecodingOptions("own", question=question))
    assert f"«{question}»" in server.told[0][0]
    assert caption.options.question == question


def test_a_question_is_answered_from_what_was_said(captioner: Captioner, server: ChatServer) -> None:
    server.script.append(says("На столе."))
    turns = (Turn("", SAID), Turn("Кто это?", "Кот."))
    answer = captioner.ask(MEME, Asked("А где он?", turns))
    assert (answer.text, answer.model, answer.checkpoint) == (
        "На столе.",
        "openai:tiny",
        captioner.checkpoint,
    )
    ((first, said, second, then, last),) = server.told
    assert "«Когда кот проснулся»" in first
    assert (said, second, then) == (SAID, "Кто это?", "Кот.")
    assert last.startswith("А где он?\n")


def test_the_joke_is_asked_for_in_our_words(captioner: Captioner, server: ChatServer) -> None:
    captioner.ask(BLANK, Asked(JOKE, (Turn("", SAID), Turn(JOKE, "Смешно."), Turn("Почему?", "Так."))))
    _, _, earlier, *_, last = server.told[0]
    assert earlier == last
    assert JOKE not in "".join(server.told[0])
    assert "шутк" in last


def test_english_words_are_explained_where_the_description_is_to_be_in_russian(
    server: ChatServer, reader: Reader
) -> None:
    describer, image = ServedDescriber.load(ServedModel("tiny")), draw_meme("caption_bar", "LOOK AT THE CAT")
    name = "openai:tiny+tiny/en-ru"
    captioner = Captioner(name, "", describer, reader, describer.options, translate=lambda texts: ["Смотри"])
    assert describe(captioner, image.convert("RGB")) == f'{SAID} По-русски: "Смотри".'
    server.usual = says("The cat sits on a table.")
    assert describe(captioner, image.convert("RGB"), language="en") == "The cat sits on a table."
    end()


# --- what servers do ---


@pytest.mark.parametrize(
    "said",
    [
        "<think>A cat? «НЕТ».</think>\n\n" + SAID,
        f"Кот или пёс?</think>{SAID}<|im_end|>",
        f"Sure! Here is the description of the image:\n\n**{SAID}**",
        f"Конечно! Вот описание картинки:\n\n{SAID}\n\nЕсли хотите, расскажу подробнее.",
        f"### Описание:\n- {SAID}",
        f"\x00{SAID}\x07\r\n",
        f"«{SAID}»",
        [{"type": "text", "text": SAID}],
    ],
)
def test_what_is_beside_the_matter_is_left_out(captioner: Captioner, server: ChatServer, said: str) -> None:
    server.script.append(says(said))
    assert describe(captioner, BLANK) == SAID


def test_a_line_that_is_quoted_stays_a_quotation(captioner: Captioner, server: ChatServer) -> None:
    server.script.append(says("«ПОНЕДЕЛЬНИК»"))
    answer = captioner.ask(BLANK, Asked("Что там написано?"))
    assert (answer.text, answer.notes) == ("«ПОНЕДЕЛЬНИК»", ("own_reading",))


def test_ends_of_lines_of_other_kinds_cut_no_piece(captioner: Captioner, server: ChatServer) -> None:
    server.script.append(streams(f"{SAID[:20]}\u2028{SAID[20:]}"))
    assert describe(captioner, BLANK).split() == SAID.split()


@pytest.mark.parametrize("after", [0.0, 0.5])
def test_an_answer_may_come_in_pieces_that_nobody_asked_for(
    captioner: Captioner, server: ChatServer, after: float
) -> None:
    server.script.append(streams(f"<think>так</think>{SAID}", after=after))
    assert describe(captioner, BLANK) == SAID


@pytest.mark.parametrize("empty", ["", None, "<think>Only thoughts, cut off"])
def test_who_says_nothing_is_asked_once_more(
    captioner: Captioner, server: ChatServer, empty: str | None
) -> None:
    server.script.append(says(empty, reasoning_content="hm"))
    assert describe(captioner, BLANK) == SAID
    server.script.extend([says(empty), says(empty)])
    with pytest.raises(EngineError, match=r"said nothing about the picture: .* OPENAI_MAX_TOKENS"):
        describe(captioner, BLANK)


def test_a_server_is_asked_without_the_fields_that_it_refuses(
    captioner: Captioner, server: ChatServer
) -> None:
    server.unknown = frozenset({"max_tokens"})
    assert describe(captioner, BLANK) == SAID
    assert describe(captioner, BLANK) == SAID
    assert ["max_completion_tokens" in body for body in server.requests] == [False, True, True]
    server.unknown = frozenset({"max_tokens", "max_completion_tokens", "seed"})
    captioner.caption([BLANK], DecodingOptions("sample", seed=1))
    assert set(server.requests[-1]) == {"model", "messages"}
    server.unknown = frozenset({"messages"})
    with pytest.raises(EngineError, match=r"not take the request .*Unknown field messages.* that looks"):
        describe(captioner, BLANK)


def test_a_servers_own_knobs_are_sent(monkeypatch: pytest.MonkeyPatch, server: ChatServer) -> None:
    server.extra = frozenset({"top_k", "chat_template_kwargs"})
    knobs = {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}}
    monkeypatch.setenv("OPENAI_EXTRA_BODY", json.dumps(knobs))
    monkeypatch.setenv("OPENAI_PICTURE_SIZE", "80")
    monkeypatch.setenv("OPENAI_MAX_TOKENS", "77")
    describe(load_captioner("openai:tiny", Path()), MEME)
    (request,) = server.requests
    assert (request["top_k"], request["max_tokens"]) == (20, 77)
    assert max(server.sizes[0]) == 80
    end()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("habit", [refuses(503), refuses(429), refuses(500), cuts])
def test_what_fails_once_is_tried_again(captioner: Captioner, server: ChatServer, habit: Habit) -> None:
    server.script.append(habit)
    assert describe(captioner, BLANK) == SAID
    assert len(server.requests) == 2


def test_a_server_that_says_when_is_not_asked_before(captioner: Captioner, server: ChatServer) -> None:
    server.script.append(refuses(429, Retry_After="1"))
    assert describe(captioner, BLANK) == SAID
    first, second = server.moments
    assert second - first >= 1


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "case",
    [
        (refuses(429), EngineBusy, r"has too much to do \(status 429\).* lower OPENAI_CONCURRENCY"),
        (refuses(503), EngineBusy, r"has too much to do \(status 503\)"),
        (refuses(400, f"bad {KEY}"), EngineError, r"does not take the request \(.*bad …"),
        (refuses(500, f"bad {KEY}"), EngineError, r"failed \(.*bad ….*see its log"),
        (refuses(401, f"bad {KEY}"), ModelNotLoaded, "correct OPENAI_API_KEY"),
        (refuses(403), ModelNotLoaded, "correct OPENAI_API_KEY"),
        (refuses(404), ModelNotLoaded, "choose one that it runs, or correct OPENAI_BASE_URL"),
        (cuts, ModelNotLoaded, "cannot be reached .* correct OPENAI_BASE_URL"),
        (babbles, EngineError, "gave no answer that can be used"),
    ],
    ids=["429", "503", "400", "500", "401", "403", "404", "cut", "page"],
)
def test_what_stays_wrong_is_one_sentence_without_the_key(
    captioner: Captioner,
    server: ChatServer,
    case: tuple[Habit, type[EngineError], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.usual, kind, sentence = case
    with pytest.raises(kind, match=sentence) as raised:
        describe(captioner, BLANK)
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    for told in (str(raised.value), repr(raised.value), caplog.text, repr(ServerSettings.of())):
        assert KEY not in told


def test_a_slow_first_word_is_waited_for_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, server: ChatServer
) -> None:
    monkeypatch.setenv("OPENAI_TIMEOUT", "1.5")
    captioner = load_captioner("openai:tiny", Path())
    server.script.extend([says(SAID, after=0.5), streams(SAID, after=30)])
    assert describe(captioner, BLANK) == SAID
    with pytest.raises(PictureTimeout, match=r"did not answer within 1\.5 seconds: .* raise OPENAI_TIMEOUT"):
        describe(captioner, BLANK)
    end()


# --- how it is judged ---


def test_who_answers_in_english_is_asked_for_russian(captioner: Captioner, server: ChatServer) -> None:
    server.script.extend([says("A cat sits on a table."), says(SAID)])
    (caption,) = captioner.caption([BLANK])
    assert (caption.text, caption.notes) == (SAID, ())
    (_, english, again) = server.told[1]
    assert english == "A cat sits on a table."
    assert "по-русски" in again
    server.script.extend([says("A cat sits on a table."), says("Sorry, a cat.")])
    (other,) = captioner.caption([BLANK])
    assert (other.text, other.notes) == ("A cat sits on a table.", ("other_language",))
    assert other.confidence < caption.confidence


def test_quotations_that_nobody_read_are_the_models_own(captioner: Captioner, server: ChatServer) -> None:
    server.script.extend(
        [
            says("Над котом надпись «КОГДА КОТ ПРОСНУЛСЯ!», ниже «Кода кот»."),
            says("Над котом надпись «Когда кот проснулся», на чашке «Лучший папа»."),
            says("На чашке «Лучший папа»."),
        ]
    )
    borne_out, partly, own = (captioner.caption([MEME])[0] for _ in range(3))
    assert borne_out.notes == ()
    assert partly.notes == own.notes == ("own_reading",)
    assert borne_out.confidence > partly.confidence > own.confidence > 0
    server.script.append(says("Там написано «Лучший папа»."))
    assert captioner.ask(MEME, Asked("Что на чашке?")).notes == ("own_reading",)


# --- what it is called, and which version ---


def test_the_official_client_finds_the_double_a_server(server: ChatServer) -> None:
    with OpenAI(base_url=server.url, api_key=KEY) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]


def checkpoint(name: str = "openai:tiny") -> str:
    """As somebody finds it who has asked nothing before."""
    served._server.cache_clear()
    return checkpoint_hash(Path(), ModelName.parse(name))


def test_another_version_of_the_model_or_of_the_prompts_is_another_checkpoint(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [checkpoint()]
    assert checkpoint() == found[0]
    assert server.listing is not None
    server.listing[0]["created"] = CREATED + 1
    found.append(checkpoint())
    server.listing[0]["root"] = "org/other"
    found.append(checkpoint())
    (tmp_path / "short.txt").write_text("Одним словом.")
    monkeypatch.setenv("CHAT_PROMPTS", str(tmp_path))
    found.append(checkpoint())
    monkeypatch.setenv("OPENAI_PICTURE_SIZE", "512")
    found.append(checkpoint())
    assert len(set(found)) == len(found)
    assert all(len(one) == 64 for one in found)
    server.listing = [{"id": "llava:latest", "created": CREATED}]
    latest = checkpoint("openai:llava:latest")
    assert checkpoint("openai:llava") == latest


def test_the_moment_of_the_listing_is_no_version(server: ChatServer) -> None:
    """vLLM and llama.cpp say of each model that it was created when they are asked."""
    import time

    assert server.listing is not None
    server.listing[0]["created"] = int(time.time())
    before = checkpoint()
    server.listing[0]["created"] = int(time.time()) - 30
    assert checkpoint() == before


def test_a_server_that_lists_nothing_has_the_name_alone(server: ChatServer) -> None:
    server.listing = None
    assert checkpoint() == checkpoint() != checkpoint("openai:other")


def test_a_server_is_asked_seldom_and_remembered_while_it_is_away(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = checkpoint()
    for _ in range(3):
        assert checkpoint_hash(Path(), ModelName.parse("openai:tiny")) == before
    assert server.listed == 1
    monkeypatch.setattr(served, "_KEPT", 0.0)
    checkpoint()
    server.stop()
    assert checkpoint_hash(Path(), ModelName.parse("openai:tiny")) == before
    assert "cannot be reached" in caplog.text
    with pytest.raises(ModelNotLoaded, match=r"server 127\.0\.0\.1:\d+ cannot be reached"):
        checkpoint()
    server.start()
    assert checkpoint() == before


def test_a_wrong_key_is_told_before_a_picture_is_sent(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-secret")
    with pytest.raises(
        ModelNotLoaded, match=r"refuses the key \(status 401\): correct OPENAI_API_KEY"
    ) as raised:
        checkpoint()
    assert "sk-another-secret" not in str(raised.value) + caplog.text


def test_the_models_that_a_setting_names_are_offered(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert list_models(tmp_path) == []
    monkeypatch.setenv("OPENAI_MODELS", "tiny, ORG/vl:7b")
    here = list_models(tmp_path)
    assert [(model.name, model.talks, model.languages) for model in here] == [
        ("openai:tiny", True, ("ru", "en", "uk")),
        ("openai:ORG/vl:7b", True, ("ru", "en", "uk")),
    ]
    monkeypatch.setenv("OPENAI_BASE_URL", "ftp://")
    assert list_models(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://localhost:11434/v1", None),
        ("http://[::1]:8000/v1", None),
        ("http://127.0.0.1/v1", None),
        ("http://gpu-box:8000/v1/", "gpu-box:8000"),
        ("https://api.example.org/v1", "api.example.org"),
        ("http://192.168.1.5:8080/v1", "192.168.1.5:8080"),
    ],
)
def test_where_pictures_go_is_told(monkeypatch: pytest.MonkeyPatch, url: str, host: str | None) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert ServerSettings.of().elsewhere == host


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OPENAI_BASE_URL", "gpu-box:8000", "OPENAI_BASE_URL: it must start with http"),
        ("OPENAI_BASE_URL", "https://me:secret@host/v1", "put it into OPENAI_API_KEY"),
        ("OPENAI_TIMEOUT", "0", "OPENAI_TIMEOUT: "),
        ("OPENAI_EXTRA_BODY", "[1]", "OPENAI_EXTRA_BODY: it must be a JSON object"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UnknownModel, match=sentence) as raised:
        ServerSettings.of()
    assert "secret" not in str(raised.value)


def test_without_a_server_the_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(UnknownModel, match="set OPENAI_BASE_URL"):
        checkpoint_hash(Path(), ModelName.parse("openai:tiny"))
    assert ModelName.parse("openai:ORG/a:b").model == ServedModel("ORG/a:b")


def test_several_pictures_are_with_the_server_at_once(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CONCURRENCY", "3")
    server.usual = says(SAID, after=0.2)
    captions = load_captioner("openai:tiny", Path()).caption([BLANK] * 7)
    assert [caption.text for caption in captions] == [SAID] * 7
    assert server.most_at_once == 3
    end()


def test_what_other_threads_log_names_the_picture(server: ChatServer, reader: Reader) -> None:
    def fails(texts: Sequence[str]) -> list[str]:
        raise RuntimeError("no dictionary")

    def talk() -> Generator[Conversation, str, str]:
        logging.getLogger("inference").warning("Asking")
        return (yield [Message("user", "Кто это?")])

    told, outcomes = list[tuple[str, str]](), queue.SimpleQueue[Outcome]()

    class Tells(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append((record.getMessage(), vars(record)["picture"]))

    handler = Tells()
    handler.addFilter(NamesPicture())
    describer = ServedDescriber.load(ServedModel("tiny"))
    captioner = PatientCaptioner("openai:tiny", "", describer, reader, describer.options, translate=fails)
    image = draw_meme("caption_bar", "LOOK AT THE CAT").convert("RGB")
    ready = Ready(image, File((), 0.0, time.perf_counter()), "7")
    logging.getLogger().addHandler(handler)
    try:
        begin(captioner, ready, None, None, outcomes.put)
        with of_picture("7"):
            options = DecodingOptions("own")
            asked = the_server(ServerSettings.of()).carry_on(ServedModel("tiny"), BLANK, options, talk())
        assert asked.result() == SAID
        assert "no dictionary" in str(outcomes.get(timeout=30))
    finally:
        logging.getLogger().removeHandler(handler)
    failed = f"A picture of {image.width} x {image.height} could not be captioned"
    assert sorted(told) == [(failed, "7"), ("Asking", "7")]
    end()


def test_a_server_is_asked_for_nothing_that_nobody_sent(server: ChatServer) -> None:
    load_captioner("openai:tiny", Path()).warm_up()
    assert server.requests == []
    end()


def test_a_server_that_is_closed_leaves_nobody_waiting(server: ChatServer) -> None:
    asked = Server(ServerSettings.of())
    asked.close()

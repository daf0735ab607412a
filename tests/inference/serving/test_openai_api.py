"""OpenAI's own client against our service, in a process of its own, and what programs send that use none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import (
    ChatCompletionContentPartImageParam,
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ChatCompletionUserMessageParam,
)
from openai.types.chat.chat_completion_content_part_param import FileFile

from inference.common.processors import available
from inference.common.types import Caption, PictureError
from inference.russian.lists import LISTS
from inference.serving.access import Access
from inference.serving.chat_request import ChatRequest
from inference.serving.engine import EngineSettings
from inference.serving.openai_api import said
from inference.serving.openai_errors import RETRY_AFTER, RefusedError
from inference.serving.serve import ENGINE, http_app
from inference.serving.uploads import Files, Sent
from tests.docs.pages import blocks
from tests.drawing import DEFAULT_WORDS, draw_meme, jpeg_bytes
from tests.inference import fakes

DEADLINE = 120.0  # seconds; a busy machine needs some of them
KEYS = ("first-key-of-somebody", "second-key-of-another")
SHIPPED = Path(__file__).parents[3] / "checkpoints"
UPSIDE_DOWN = LISTS.answers.notes["upside_down"]


@dataclass(frozen=True, slots=True)
class Service:
    """A server that runs."""

    url: str
    log: Path  # what it says

    def client(self, key: str = KEYS[0], **more: Any) -> OpenAI:
        """The official one, which refuses answers that are not of its types."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, _strict_response_validation=True, **more)


@contextlib.contextmanager
def serving(log: Path, *arguments: str, **environment: str) -> Iterator[Service]:
    """The command, until the block ends. Whatever happened, no key stands in what it said."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "inference", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "SERVE_API_KEYS": ",".join(KEYS), **environment},
        )
    assert process.stdout is not None
    try:
        yield Service(process.stdout.readline().split()[-1], log)
        process.terminate()
        said, _ = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.wait()
    for key in KEYS:
        assert key not in said + log.read_text()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("openai")
    for name, weights in (("first", ""), ("second", ""), ("damaged", "broken")):
        fakes.write_checkpoint(folder / "models", name, weights=weights)
    fakes.write_checkpoint(folder / "models", "talker", card=fakes.TALKS)
    models = ("--models-dir", str(folder / "models"), "--model", "first")
    with serving(
        folder / "said",
        *models,
        "--captioner",
        "tests.inference.fakes:load_talking",
        FAKE_LOG=str(folder / "log"),
    ) as running:
        yield running


def data_url(picture: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


def image(picture: bytes) -> ChatCompletionContentPartImageParam:
    return {"type": "image_url", "image_url": {"url": data_url(picture)}}


def user(*parts: ChatCompletionContentPartParam | str) -> ChatCompletionUserMessageParam:
    """A message with these parts."""
    return {
        "role": "user",
        "content": [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts],
    }


def fake_answer(size: tuple[int, int] = (32, 24)) -> str:
    """What the fake model's caption of a plain picture is told as."""
    width, height = size
    description = f"{width} x {height}\nЦвет {fakes.PLAIN}, потоков {available()}"
    words = f"{LISTS.answers.words}\nСЛОВА\nвторые {width}"
    return f"{description}\n\n{words}\n\n{UPSIDE_DOWN}"


def test_a_picture_is_described(service: Service) -> None:
    with service.client() as client:
        done = client.chat.completions.create(
            model="second",
            messages=[user("Что здесь?", image(fakes.picture(size=(30, 20))))],
            temperature=0.7,
        )
    (choice,) = done.choices
    assert choice.message.role == "assistant" and choice.finish_reason == "stop"
    assert choice.message.content == fake_answer((30, 20))
    assert (done.object, done.model) == ("chat.completion", "second")
    assert done.usage is not None
    told = len(fake_answer().split())
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (
        2,
        told,
        told + 2,
    )


async def test_pictures_of_several_callers_are_described_at_once(service: Service) -> None:
    async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key=KEYS[1]) as client:
        done = await asyncio.gather(
            *(
                client.chat.completions.create(
                    model="first", messages=[user(image(fakes.picture(size=(10 + i, 8))))]
                )
                for i in range(5)
            )
        )
    assert [one.choices[0].message.content for one in done] == [fake_answer((10 + i, 8)) for i in range(5)]
    assert len({one.id for one in done}) == 5 and len({one.system_fingerprint for one in done}) == 1


def test_a_stream_says_the_same_word_by_word(service: Service) -> None:
    asked: dict[str, Any] = {"model": "first", "messages": [user(image(fakes.picture()))]}
    with service.client() as client:
        chunks = list(client.chat.completions.create(**asked, stream=True))
        counted = list(
            client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        )
        with client.chat.completions.stream(**asked) as gathered:
            assert gathered.get_final_completion().choices[0].message.content == fake_answer()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == fake_answer()
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1 and all(chunk.usage is None for chunk in chunks)
    *before, last = counted
    assert all(chunk.usage is None for chunk in before) and not last.choices
    assert last.usage is not None and last.usage.completion_tokens == len(text.split())


def test_a_stream_is_one_of_events_with_an_end(service: Service) -> None:
    answer = httpx2.post(
        f"{service.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {KEYS[0]}"},
        json={"model": "first", "messages": [user(image(fakes.picture()))], "stream": True},
        timeout=DEADLINE,
    )
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    *events, end, nothing = answer.text.split("\n\n")
    assert (end, nothing) == ("data: [DONE]", "")
    assert all(
        json.loads(event.removeprefix("data: "))["object"] == "chat.completion.chunk" for event in events
    )


def test_an_answer_has_no_more_words_than_were_asked_for(service: Service) -> None:
    with service.client() as client:
        messages = [user(image(fakes.picture()))]
        for done in (
            client.chat.completions.create(model="first", messages=messages, max_tokens=3),
            client.chat.completions.create(model="first", messages=messages, max_completion_tokens=3),
        ):
            assert done.choices[0].message.content == "32 x 24"
            assert done.choices[0].finish_reason == "length"


def test_the_models_are_listed(service: Service) -> None:
    with service.client() as client:
        assert [model.id for model in client.models.list()] == ["damaged", "first", "second", "talker"]
        assert client.models.retrieve("second").id == "second"
        for name in ("third", "hf:somebody/model", "../first"):
            with pytest.raises(openai.NotFoundError) as caught:
                client.models.retrieve(name)
            assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.NotFoundError, match="There is no model named 'gpt-9'") as caught:
            client.chat.completions.create(model="gpt-9", messages=[user(image(fakes.picture()))])
    assert caught.value.code == "model_not_found"


def test_a_picture_comes_as_a_file_too(service: Service) -> None:
    picture = fakes.picture(size=(40, 30))
    encoded = base64.encodebytes(picture).decode()  # with its line breaks
    with service.client() as client:
        uploaded = client.files.create(file=("мем.png", picture), purpose="vision")
        assert (uploaded.filename, uploaded.bytes) == ("мем.png", len(picture))
        files: list[FileFile] = [
            {"file_id": uploaded.id},
            {"filename": "meme.png", "file_data": encoded},
            {"filename": "meme.png", "file_data": data_url(picture)},
        ]
        for file in files:
            done = client.chat.completions.create(
                model="first", messages=[user("Опиши.", {"type": "file", "file": file})]
            )
            assert done.choices[0].message.content == fake_answer((40, 30))


def test_an_uploaded_file_is_its_senders_alone(service: Service) -> None:
    with service.client(KEYS[0]) as one, service.client(KEYS[1]) as other:
        kept = one.files.create(file=fakes.picture(), purpose="user_data")
        assert one.files.retrieve(kept.id) == kept
        assert kept.id in [file.id for file in one.files.list()]
        assert kept.id not in [file.id for file in other.files.list()]
        asked = [user({"type": "file", "file": {"file_id": kept.id}})]
        for ask in (
            lambda: other.files.retrieve(kept.id),
            lambda: other.files.delete(kept.id),
            lambda: other.chat.completions.create(model="first", messages=asked),
        ):
            with pytest.raises(openai.NotFoundError, match="upload it once more"):
                ask()
        assert one.files.delete(kept.id).deleted
        with pytest.raises(openai.NotFoundError) as caught:
            one.chat.completions.create(model="first", messages=asked)
        assert caught.value.code == "file_not_found"


def test_in_a_conversation_the_last_picture_is_described(service: Service) -> None:
    first, last = fakes.picture(size=(9, 9)), fakes.picture(size=(12, 8))
    talk: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Отвечай по-русски."},
        user("Что здесь?", image(first)),
        {"role": "assistant", "content": "Кот."},
        user("А здесь?", image(last)),
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Не скажу."}]},
        user("Скажи всё-таки."),
    ]
    with service.client() as client:
        done = client.chat.completions.create(model="first", messages=talk)
    assert done.choices[0].message.content == fake_answer((12, 8))


def test_a_model_that_talks_is_asked(service: Service) -> None:
    picture, other = image(fakes.picture(size=(21, 20))), image(fakes.picture(size=(9, 9)))
    talk: list[ChatCompletionMessageParam] = [
        user("А тут?", other),
        {"role": "assistant", "content": "Пёс."},
        user("Что здесь?", picture),
        {"role": "assistant", "content": "Кот."},
        user("Какой?"),
        {"role": "assistant", "content": "Рыжий."},
        user("Где он?", picture),  # programs send it once more
    ]
    with service.client() as client:
        said = [
            client.chat.completions.create(model="talker", messages=messages).choices[0].message.content
            for messages in (talk[:3], talk, talk[:4])
        ]
        with pytest.raises(openai.BadRequestError, match="ask a shorter one"):
            client.chat.completions.create(model="talker", messages=[user("?" * 1001, picture)])
        describer = client.chat.completions.create(model="first", messages=[user("?" * 1001, picture)])
    assert said == [fake_answer((21, 20)), "21 x 20: Где он?, до того 2", fake_answer((21, 20))]
    assert describer.choices[0].message.content == fake_answer((21, 20)), "who describes passes it over"
    log = [json.loads(line) for line in (service.log.parent / "log").read_text().splitlines()]
    first, second, third, _ = [one for one in log if "turns" in one or one.get("batch") == [[21, 20]]]
    assert first["question"] == "Что здесь?"
    assert second["turns"] == [["Что здесь?", "Кот."], ["Какой?", "Рыжий."]]
    assert "question" not in third, "nothing was asked since the answer"


@pytest.mark.parametrize(
    ("request_", "code", "sentence"),
    [
        ({"messages": [user("Привет!")]}, "no_picture", "There is no picture"),
        ({"messages": [{"role": "user", "content": "Привет!"}]}, "no_picture", "There is no picture"),
        ({"messages": [{"role": "assistant", "content": None}]}, "no_picture", "There is no picture"),
        ({"messages": []}, "invalid_request", "mistake in messages"),
        (
            {"messages": [user("x")] * 1001},
            "invalid_request",
            "mistake in messages: List should have at most",
        ),
        (
            {"messages": [user(*["x"] * 1001)]},
            "invalid_request",
            "mistake in messages.0.content: List should have at most",
        ),
        ({"messages": [{"role": "cat", "content": "x"}]}, "invalid_request", "mistake in messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "invalid_request",
            "mistake in messages.0.content.0",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "invalid_request",
            "image_url: Field required",
        ),
        (
            {"messages": [user(image(fakes.picture()), image(fakes.picture()))]},
            "several_pictures",
            "each in a request of its own",
        ),
        ({"messages": [user({"type": "file", "file": {}})]}, "no_picture", "'file_data' or 'file_id'"),
        ({"n": 2}, "unsupported_parameter", "leave 'n' out"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "unsupported_parameter", "'tools'"),
        ({"audio": {"voice": "a", "format": "mp3"}}, "unsupported_parameter", "leave 'audio' out"),
        ({"modalities": ["text", "audio"]}, "unsupported_parameter", "answer in text"),
        ({"logprobs": True}, "unsupported_parameter", "'logprobs'"),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "plain text"),
        ({"stop": ["."]}, "unsupported_parameter", "given whole"),
        (
            {"messages": [user({"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}})]},
            "unsupported_parameter",
            "do not hear",
        ),
        ({"max_tokens": 0}, "invalid_request", "mistake in max_tokens"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    service: Service, request_: dict[str, Any], code: str, sentence: str
) -> None:
    with service.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            **{"model": "first", "messages": [user(image(fakes.picture()))], **request_}
        )
    assert caught.value.code == code
    assert sentence in caught.value.message and caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.org/meme.png", "invalid_image_url"),
        ("http://169.254.169.254/latest", "invalid_image_url"),
        ("file:///etc/passwd", "invalid_image_url"),
        ("data:image/png,abc", "invalid_image_url"),
        ("data:", "invalid_image_url"),
        (data_url(fakes.picture())[:-1], "invalid_base64"),
        ("data:image/png;base64,ёё", "invalid_base64"),
        ("data:image/png;base64,", "empty"),
        (data_url(b"no picture"), "not_a_picture"),
    ],
)
def test_a_picture_that_is_none_is_refused_with_a_sentence(service: Service, url: str, code: str) -> None:
    with service.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="first", messages=[user({"type": "image_url", "image_url": {"url": url}})]
        )
    assert caught.value.code == code
    assert caught.value.message.rstrip("}'").count(".") and "Traceback" not in caught.value.message


def test_without_a_key_nothing_is_answered(service: Service) -> None:
    for key in ("wrong", KEYS[0][:-1]):
        with service.client(key) as client:
            for ask in (
                client.models.list,
                client.files.list,
                lambda client=client: client.chat.completions.create(model="first", messages=[user("x")]),
            ):
                with pytest.raises(openai.AuthenticationError, match="SERVE_API_KEYS") as caught:
                    ask()
                assert caught.value.code == "invalid_api_key"
                assert caught.value.response.headers["WWW-Authenticate"] == "Bearer"


def test_pages_of_other_sites_are_refused(service: Service) -> None:
    origin = {"Origin": "https://evil.example"}
    with (
        service.client(default_headers=origin) as client,
        pytest.raises(openai.PermissionDeniedError, match="other sites"),
    ):
        client.models.list()


def test_what_is_not_served_says_what_is(service: Service) -> None:
    with service.client() as client:
        for ask in (
            lambda: client.embeddings.create(model="first", input="x"),
            lambda: client.responses.create(model="first", input="x"),
            lambda: client.files.content("file-x"),
        ):
            with pytest.raises(openai.NotFoundError, match="POST to /v1/chat/completions"):
                ask()


def test_a_body_that_is_no_request_is_refused(service: Service) -> None:
    for path, body, kind in (
        ("chat/completions", b"{", "application/json"),
        ("chat/completions", b"[" * 5000, "application/json"),
        ("chat/completions", b"\xff\xfe", "application/json"),
        ("files", b"", "multipart/form-data"),
        ("files", b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        ("files", b"{}", "application/json"),
    ):
        answer = httpx2.post(
            f"{service.url}/v1/{path}",
            headers={"Authorization": f"Bearer {KEYS[0]}", "Content-Type": kind},
            content=body,
            timeout=DEADLINE,
        )
        assert answer.status_code == 400, (path, body)
        assert answer.json()["error"]["code"] == "invalid_request"


def test_a_picture_that_kills_the_worker_is_not_sent_again(service: Service) -> None:
    deadly = image(fakes.picture(fakes.POISON, (7, 7)))
    with (
        service.client(max_retries=2) as client,
        pytest.raises(openai.InternalServerError, match="died of this picture twice") as caught,
    ):
        client.chat.completions.create(model="first", messages=[user(deadly)])
    assert caught.value.code == "crashed"
    batches = (service.log.parent / "log").read_text().count('"batch": [[7, 7]]')
    assert batches == 2, "the engine's own two tries"


def test_a_model_that_cannot_be_loaded_is_told(service: Service) -> None:
    with (
        service.client() as client,
        pytest.raises(openai.InternalServerError, match="has no 'encoder'") as caught,
    ):
        client.chat.completions.create(model="damaged", messages=[user(image(fakes.picture()))])
    assert (caught.value.status_code, caught.value.code) == (503, "not_loaded")


@contextlib.asynccontextmanager
async def listening(settings: EngineSettings) -> AsyncIterator[tuple[AsyncOpenAI, web.Application]]:
    """A server in this process, whose engine can be looked at."""
    app = http_app(settings, Access.of("127.0.0.1"))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        async with AsyncOpenAI(base_url=url, api_key="no key is wanted", max_retries=0) as client:
            yield client, app
    finally:
        await runner.cleanup()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSettings:
    monkeypatch.setenv("FAKE_GATE", str(tmp_path / "gate"))
    fakes.write_checkpoint(tmp_path / "models", "first")
    return EngineSettings(
        model="first", models_dir=tmp_path / "models", captioner="tests.inference.fakes:load", queue_size=1
    )


async def test_a_full_queue_says_when_to_come_back(settings: EngineSettings, tmp_path: Path) -> None:
    async with listening(settings) as (client, app):
        waiting = asyncio.create_task(
            client.chat.completions.create(model="first", messages=[user(image(fakes.picture(fakes.WAIT)))])
        )
        async with asyncio.timeout(DEADLINE):
            while app[ENGINE].waiting == 0:  # noqa: ASYNC110 - it happens at the other end
                await asyncio.sleep(0.01)
        with pytest.raises(openai.RateLimitError, match="1 pictures are waiting") as caught:
            await client.chat.completions.create(model="first", messages=[user(image(fakes.picture()))])
        assert caught.value.response.headers["Retry-After"] == str(RETRY_AFTER)
        (tmp_path / "gate").touch()
        assert (await waiting).model == "first"


async def test_a_request_that_is_larger_than_any_picture_is_refused(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.serving.serve.MOST_BODY", 100)
    async with listening(settings) as (client, _):
        with pytest.raises(openai.BadRequestError, match="make a smaller copy") as caught:
            await client.chat.completions.create(model="first", messages=[user(image(fakes.picture()))])
        assert caught.value.code == "too_large"


# --- what is asked for ---


@pytest.mark.parametrize(
    ("text", "verbosity", "detail"),
    [
        ("Что на картинке?", None, "usual"),
        ("Опиши кратко.", None, "short"),
        ("Describe this image BRIEFLY", None, "short"),
        ("Опиши как можно подробнее", None, "detailed"),
        ("Describe it in detail.", None, "detailed"),
        # the prompt of an add-on for screen readers
        ("Describe this image succinctly, but in as much detail as possible.", None, "usual"),
        ("Опиши кратко.", "high", "detailed"),
        ("Опиши подробно.", "low", "short"),
        ("Опиши подробно.", "medium", "usual"),
    ],
)
def test_how_much_to_tell_is_read_of_the_request(text: str, verbosity: str | None, detail: str) -> None:
    told = [{"role": "system", "content": "Be brief."}, user("Подробно!"), user(text, image(b"x"))]
    asked = ChatRequest.read(json.dumps({"messages": told, "verbosity": verbosity}).encode())
    assert asked.detail(asked.conversation().question) == detail


def test_the_doubt_comes_first_and_no_word_twice() -> None:
    caption = Caption(
        summary="s", text='Кот говорит "Привет".', words=("ПРИВЕТ", "пока"), model="m", checkpoint="c",
        notes=("first_frame", "low_confidence"),
    )  # fmt: skip
    answers = LISTS.answers
    assert said(caption).split("\n\n") == [
        answers.doubt,
        'Кот говорит "Привет".',
        f"{answers.other_words}\nпока",
        answers.notes["first_frame"],
    ]


# --- files ---


def form(data: bytes, purpose: str = "vision") -> tuple[str, bytes]:
    """The kind and the body of a form."""
    sent = httpx2.Request(
        "POST", "http://x", files={"file": ("a.png", data, "image/png")}, data={"purpose": purpose}
    )
    return sent.headers["Content-Type"], sent.read()


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"\r", b"\n", b"--", b"\xff"])).map(b"".join))
def test_a_form_gives_the_file_as_it_was(data: bytes) -> None:
    assert Sent.read(*form(data)) == Sent(data, "a.png", "vision")


def test_a_form_takes_little_more_memory_than_the_file() -> None:
    kind, body = form(b"\n" * 2**20)
    tracemalloc.start()
    try:
        Sent.read(kind, body)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(body)
    finally:
        tracemalloc.stop()


@settings_of_hypothesis(max_examples=30)
@given(st.binary(max_size=200), st.text(max_size=30))
def test_no_form_breaks_the_service(body: bytes, boundary: str) -> None:
    for head in (b"", b"--x\r\n", b"--x\r\nContent-Disposition: "):
        for kind in ("multipart/form-data; boundary=x", f"multipart/form-data; boundary={boundary}"):
            with pytest.raises(RefusedError):
                Sent.read(kind, head + body + b"\r\n--x--")


def test_a_form_without_a_purpose_or_with_a_large_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.serving.uploads.MAX_BYTES", 10)
    for purpose in ("", "fine-tune"):
        with pytest.raises(RefusedError, match="'purpose'"):
            Sent.read(*form(b"x", purpose))
    with pytest.raises(PictureError, match="make a smaller copy"):
        Sent.read(*form(b"x" * 11))


def test_a_large_picture_in_a_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.serving.chat_request.MAX_BYTES", 10)
    asked = ChatRequest.read(json.dumps({"messages": [user(image(b"x" * 11))]}).encode())
    with pytest.raises(PictureError, match="make a smaller copy"):
        asked.conversation().file(None, b"")


def test_a_service_of_several_engines_keeps_no_files() -> None:
    asked = ChatRequest.read(
        json.dumps({"messages": [user({"type": "file", "file": {"file_id": "file-1"}})]}).encode()
    )
    with pytest.raises(RefusedError, match="send the picture in the message"):
        asked.conversation().file(None, b"")


async def test_files_are_forgotten() -> None:
    files = Files(most=10, lifetime=0.01)
    first, second = (files.add(b"", Sent(data, "x", "vision")) for data in (b"12345", b"123456"))
    assert files.of(b"") == [second], "the oldest made room"
    with pytest.raises(RefusedError, match="upload it once more"):
        files.get(b"", first.id)
    async with asyncio.timeout(DEADLINE):
        while files.of(b""):  # noqa: ASYNC110 - a timer of the loop
            await asyncio.sleep(0.005)


# --- the model that ships ---


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("shipped") / "said", "--models-dir", str(SHIPPED)) as running:
        yield running


def test_the_shipped_model_describes_a_meme_at_three_lengths(shipped: Service) -> None:
    meme = image(jpeg_bytes(draw_meme("caption_bar", width=640)))
    with shipped.client() as client:
        told = [
            client.chat.completions.create(
                model="meme-small", messages=[user(text, meme)]
            ).choices[0].message.content or ""
            for text in ("Опиши кратко.", "Опиши.", "Опиши подробно.")
        ]  # fmt: skip
    short, usual, detailed = (len(text.split()) for text in told)
    assert short <= usual < detailed
    for text in told:
        assert DEFAULT_WORDS["caption_bar"][0].split()[0].lower() in text.lower()


def test_the_page_shows_how_to_ask(shipped: Service, tmp_path: Path) -> None:
    (tmp_path / "meme.jpg").write_bytes(jpeg_bytes(draw_meme("caption_bar", width=640)))
    ((command,),) = (block.commands for block in blocks("docs/operating.md") if "curl" in block.text)
    command = command.replace("http://gpu-box:8100", shipped.url).replace("KEY", KEYS[0])
    done = subprocess.run(
        ["bash", "-euc", command], cwd=tmp_path, capture_output=True, timeout=DEADLINE, check=True
    )
    (choice,) = json.loads(done.stdout)["choices"]
    assert '"КОГДА' in choice["message"]["content"]

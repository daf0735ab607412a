"""Who is served, and what a bare HTTP client sees."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from bot.sandbox import ME, Sandbox
from tests.drawing import draw_meme, gif_bytes, jpeg_bytes, webp_bytes

PHOTO = jpeg_bytes(draw_meme("photo", width=200))


async def told(response: aiohttp.ClientResponse) -> Any:
    return await response.json()


async def test_errors_are_json_as_on_the_real_server(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    async with http.get(f"/bot{sandbox.token}/noSuchMethod") as response:
        assert response.status == 404
        assert await told(response) == {
            "ok": False,
            "error_code": 404,
            "description": "Not Found: method not found",
        }
    async with http.get("/bot123:wrong/getMe") as response:
        assert (response.status, (await told(response))["description"]) == (401, "Unauthorized")
    async with http.get("/botwrong/getMe") as response:
        assert (response.status, (await told(response))["description"]) == (404, "Not Found")
    async with http.get(f"/file/bot{sandbox.token}/photos/none.jpg") as response:
        assert (response.status, (await told(response))["ok"]) == (404, False)
    async with http.get("/file/bot123:wrong/photos/none.jpg") as response:
        assert response.status == 401
    async with http.post(
        f"/bot{sandbox.token}/getMe", data=b"{", headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 400
    sandbox.fail("getMe", "flood", retry_after=3)
    async with http.get(f"/bot{sandbox.token}/getMe") as response:
        assert response.status == 429
        assert (await told(response))["parameters"] == {"retry_after": 3}


@pytest.mark.parametrize("method", ["getme", "GetMe", "GETME"])
async def test_methods_are_found_in_any_case(
    http: aiohttp.ClientSession, sandbox: Sandbox, method: str
) -> None:
    async with http.get(f"/bot{sandbox.token}/{method}") as response:
        assert (await told(response))["result"]["username"] == "meme_describer_bot"


async def test_parameters_in_the_address_a_form_and_json(
    http: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    address = f"/bot{sandbox.token}/sendMessage"
    markup = {"inline_keyboard": [[{"text": "a", "callback_data": "a"}]]}
    for how in (
        {"params": {"chat_id": str(ME), "text": "x", "reply_markup": json.dumps(markup)}},
        {"data": {"chat_id": str(ME), "text": "x", "reply_markup": json.dumps(markup)}},
        {"json": {"chat_id": ME, "text": "x", "reply_markup": markup}},
    ):
        async with http.post(address, **how) as response:
            assert (await told(response))["result"]["reply_markup"] == markup


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[::1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_other_sites_are_refused(
    http: aiohttp.ClientSession, sandbox: Sandbox, headers: dict[str, str]
) -> None:
    async with http.get("/api/state", headers=headers) as response:
        assert response.status == 403
    async with http.post("/api/messages", data={"text": "чужое"}, headers=headers) as response:
        assert response.status == 403
    async with http.get(f"/bot{sandbox.token}/getMe", headers=headers) as response:
        assert response.status == 403
    assert sandbox.messages() == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "127.8.8.8"])
async def test_this_machines_own_names_are_served(
    http: aiohttp.ClientSession, sandbox: Sandbox, name: str
) -> None:
    host = f"{name}:{sandbox.port}"
    own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    async with http.get("/api/state", headers=own) as response:
        assert response.status == 200
    # A link on another site may lead here, but only to the page itself.
    async with http.get("/", headers={"Host": host, "Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


async def test_the_server_listens_on_loopback_unless_told_otherwise(sandbox: Sandbox) -> None:
    assert sandbox.url == f"http://127.0.0.1:{sandbox.port}"


async def test_listening_for_others_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox("0.0.0.0") as open_to_all, aiohttp.ClientSession() as anybody:
        assert "whoever reaches this address can use it" in caplog.text
        # Its own names are still the only ones: a name that was made to point here is refused.
        async with anybody.get(f"{open_to_all.url}/api/state", headers={"Host": "evil.example"}) as response:
            assert response.status == 403
        async with anybody.get(f"{open_to_all.url}/api/state") as response:
            assert response.status == 200


async def test_a_taken_port_is_an_error_and_a_stopped_server_frees_it(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match="choose another SANDBOX_PORT"):
        await Sandbox(port=sandbox.port).start()
    await sandbox.stop()
    async with Sandbox(port=sandbox.port) as next_one:
        assert next_one.port == sandbox.port


async def test_what_is_put_on_the_page_is_sent_as_a_client_would(
    http: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    async def put(*files: tuple[str, str, bytes], **fields: str) -> list[dict[str, Any]]:
        before = len(sandbox.messages())
        form = aiohttp.FormData(fields)
        for name, kind, data in files:
            form.add_field("file", data, filename=name, content_type=kind)
        async with http.post("/api/messages", data=form) as response:
            assert response.status == 200
        return sandbox.messages()[before:]

    jpeg = ("a.jpg", "image/jpeg", PHOTO)
    (photo,) = await put(jpeg, text="подпись")
    assert photo["caption"] == "подпись"
    assert photo["photo"]
    (document,) = await put(jpeg, as_file="1")
    assert document["document"]["file_name"] == "a.jpg"
    album = await put(jpeg, jpeg, jpeg)
    assert len({message["media_group_id"] for message in album}) == 1
    (broken,) = await put(("b.jpg", "image/jpeg", b"text"))
    assert broken["document"]["mime_type"] == "image/jpeg"
    frames = [draw_meme("photo", width=100, mood=mood) for mood in ("awake", "sleepy")]
    (animation,) = await put(("c.gif", "image/gif", gif_bytes(frames)))
    assert animation["animation"]
    (sticker,) = await put(("d.webp", "image/webp", webp_bytes(frames[0])))
    assert sticker["sticker"]
    (video,) = await put(("e.mp4", "video/mp4", b"mp4"))
    assert video["video"]
    mixed = await put(jpeg, ("f.txt", "text/plain", b"x"), jpeg, text="вместе")
    assert [next(kind for kind in ("photo", "document") if kind in one) for one in mixed] == [
        "photo",
        "photo",
        "document",
    ]
    async with http.post("/api/messages", data={"text": "x", "reply_to": "1"}) as response:
        assert response.status == 409
    async with http.post("/api/messages", data={"text": "x", "chat": "мой"}) as response:
        assert response.status == 409


async def test_files_are_shown_only_in_types_that_cannot_run(
    http: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    evil = await sandbox.send_document(b"<script>alert(1)</script>", 'a"b\r\nc.html', "text/html")
    async with http.get(f"/api/files/{evil['document']['file_id']}") as response:
        assert response.content_type == "application/octet-stream"
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response.headers["Content-Security-Policy"]
    photo = await sandbox.send_photo(PHOTO)
    async with http.get(f"/api/files/{photo['photo'][-1]['file_id']}") as response:
        assert response.content_type == "image/jpeg"
        assert (await response.read())[:2] == b"\xff\xd8"
    async with http.get("/api/files/none") as response:
        assert response.status == 404
    async with http.get("/static/..%2Fserver.py") as response:
        assert response.status == 404


async def test_the_page_hears_of_everything(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    async with http.get("/api/events") as stream:
        await sandbox.wait_for(lambda: sandbox.world.pages)
        await sandbox.send_text("слышно?")
        line = await asyncio.wait_for(stream.content.readline(), 10)
        event = json.loads(line.removeprefix(b"data: "))
        assert (event["type"], event["message"]["text"]) == ("message", "слышно?")


async def test_control_over_http(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    message = await sandbox.send_text("было")
    async with http.post(
        "/api/edit", json={"message_id": message["message_id"], "text": "стало"}
    ) as response:
        assert response.status == 200
    assert sandbox.messages()[0]["text"] == "стало"
    async with http.post("/api/language", json={"language": "en"}) as response:
        assert response.status == 200
    async with http.post("/api/language", json={"language": "<b>"}) as response:
        assert response.status == 400
    async with http.post("/api/press", json={"message_id": message["message_id"], "data": "r:1"}) as response:
        assert response.status == 409
    async with http.post("/api/faults", json={"method": "getMe", "kind": "server_error"}) as response:
        assert response.status == 200
    async with http.post("/api/faults", json={"method": "getMe", "kind": "earthquake"}) as response:
        assert response.status == 400
    async with http.get(f"/bot{sandbox.token}/getMe") as response:
        assert response.status == 500
    async with http.get("/api/calls") as response:
        body = await response.text()
    assert [call["status"] for call in json.loads(body)["calls"]] == [500]
    assert sandbox.token not in body
    async with http.get("/api/state") as response:
        state = await told(response)
    assert state["me"]["language_code"] == "en"
    assert [chat["info"]["type"] for chat in state["chats"]] == ["private", "supergroup"]

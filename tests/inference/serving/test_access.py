"""Who a service answers: over real HTTP, with the headers that browsers and programs send."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from inference.common.types import EngineError, NotAllowed, UnknownModel
from inference.serving.access import Access, is_loopback
from inference.serving.engine import EngineSettings
from inference.serving.exchange import without_paths
from inference.serving.remote import RemoteEngine
from inference.serving.serve import http_app
from tests.inference import fakes

KEYS = ("first-key-of-this-service", "ключ второй")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSettings:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    models = tmp_path / "models of mine"
    fakes.write_checkpoint(models, "first", card="A model.")
    return EngineSettings(model="first", models_dir=models, captioner="tests.inference.fakes:load")


@contextlib.asynccontextmanager
async def serving(settings: EngineSettings, access: Access | None = None) -> AsyncIterator[str]:
    runner = web.AppRunner(http_app(settings, access))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(url: str, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
    """Status and answer: of a GET, or of a POST where there is a body."""
    method = "POST" if "data" in request else "GET"
    async with aiohttp.ClientSession() as session, session.request(method, url + path, **request) as answer:
        return answer.status, await answer.json()


async def test_pages_of_other_sites_are_refused(settings: EngineSettings) -> None:
    async with serving(settings) as url:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": "null"},
            {"Origin": ""},
            {"Origin": "http://[broken"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "Cross-Site", "Origin": url},
            {"Origin": "https://evil.example", "Host": "evil.example"},
        ):
            for path, request in (
                ("/caption", {"data": fakes.picture()}),
                ("/models", {}),
                ("/checkpoint", {}),
                ("/healthz", {}),
            ):  # fmt: skip
                status, told = await ask(url, path, headers=headers, **request)
                assert (status, told["error"]) == (403, "refused"), (headers, path)
        for headers in ({}, {"Origin": url}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}):
            status, told = await ask(url, "/caption", headers=headers, data=fakes.picture())
            assert (status, told.get("model")) == (200, "first")


async def test_a_name_that_was_bent_to_this_machine_is_refused(settings: EngineSettings) -> None:
    own = socket.gethostname()
    async with serving(settings, Access.of("127.0.0.1", hosts=["gpu-box", "Captions.example"])) as url:
        for host in (
            "evil.example", "evil.example:8100", "127.0.0.1.evil.example", "localhost.evil.example",
            "10.1.2.3", "169.254.169.254", "[fd00::1]:8100", "0.0.0.0", "gpu-box.evil.example", "%", "a b",
        ):  # fmt: skip
            for path in ("/models", "/healthz"):
                status, told = await ask(url, path, headers={"Host": host})
                assert (status, told["error"]) == (403, "refused"), host
        for host in (
            "localhost", "LOCALHOST:8100", "127.0.0.1", "127.5.6.7:1", "[::1]:8100", "gpu-box:8100",
            "captions.example", "captions.example.", own, own.upper(),
        ):  # fmt: skip
            assert (await ask(url, "/models", headers={"Host": host}))[0] == 200, host
    async with serving(settings, Access.of("0.0.0.0")) as url:
        for host, status in (("10.1.2.3:8100", 200), ("[fd00::1]", 200), ("evil.example", 403), (own, 200)):
            assert (await ask(url, "/models", headers={"Host": host}))[0] == status, host


async def test_a_service_with_keys_wants_one_with_everything_but_the_question_for_its_health(
    settings: EngineSettings,
) -> None:
    async with serving(settings, Access.of("0.0.0.0", keys=[*KEYS, " ", ""])) as url:
        for given_key in (
            "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {KEYS[0]}x", f"Bearer {KEYS[0][:-1]}",
            f"Basic {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0]},{KEYS[0]}",
        ):  # fmt: skip
            headers = {"Authorization": given_key} if given_key else {}
            for path, request in (
                ("/caption", {"data": fakes.picture()}), ("/models", {}), ("/checkpoint", {}), ("/none", {})
            ):  # fmt: skip
                status, told = await ask(url, path, headers=headers, **request)
                assert (status, told["error"]) == (401, "key"), (given_key, path)
                assert "ENGINE_API_KEY" in told["sentence"] and KEYS[0] not in told["sentence"]
        for key in KEYS:
            for scheme in ("Bearer", "bearer"):
                headers = {"Authorization": f"{scheme} {key}", "Host": "anything.example"}
                status, _ = await ask(url, "/caption", headers=headers, data=fakes.picture())
                assert status == 200
        async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz") as health:
            assert health.status in {200, 503}
            assert set(await health.json()) == {"healthy", "waiting"}
        async with aiohttp.ClientSession() as session, session.get(f"{url}/models") as refused:
            assert refused.headers["WWW-Authenticate"] == "Bearer"


async def test_the_client_sends_its_key_and_says_in_one_sentence_that_it_is_wrong(
    settings: EngineSettings,
) -> None:
    async with serving(settings, Access.of("127.0.0.1", keys=KEYS)) as url:
        async with RemoteEngine(url, api_key=KEYS[1]) as engine:
            assert (await engine.caption(fakes.picture())).model == "first"
            assert [model.name for model in await asyncio.to_thread(engine.models)] == ["first"]
        for key in (None, "wrong"):
            async with RemoteEngine(url, api_key=key) as engine:
                with pytest.raises(NotAllowed, match="ENGINE_API_KEY"):
                    await engine.caption(fakes.picture())
                with pytest.raises(NotAllowed, match="SERVE_API_KEYS"):
                    await asyncio.to_thread(engine.checkpoint)


async def test_name_and_password_in_the_address_reach_the_proxy_and_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.serving.remote._PAUSES", (0.01,))
    asked: list[str | None] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization"))
        return web.Response(status=502, text="no")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    caplog.set_level("DEBUG")
    try:
        async with RemoteEngine(f"http://bot:pa%40ss-w0rd@127.0.0.1:{port}/") as engine:
            with pytest.raises(EngineError, match="cannot be reached") as caught:
                await engine.caption(b"x")
            with pytest.raises(EngineError, match="cannot be reached") as blocking:
                await asyncio.to_thread(engine.models)
    finally:
        await runner.cleanup()
    assert set(asked) == {f"Basic {base64.b64encode(b'bot:pa@ss-w0rd').decode()}"}
    assert engine.url == f"http://127.0.0.1:{port}"
    for told in (caplog.text, str(caught.value), str(blocking.value), repr(engine)):
        assert "ss-w0rd" not in told


@pytest.mark.parametrize(
    "url", ["http://bot:pa55-w0rd@", "bot:pa55-w0rd@host", "http://pa55-w0rd:80:90", "http://host:pa55-w0rd"]
)
def test_an_address_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="write it as http://HOST:PORT") as caught:
        RemoteEngine(url)
    assert "pa55" not in str(caught.value)


ODD_NAMES = [
    "x" * 10_000, "x" * 256, "ё" * 200, "\0", "first\0", "../first", "..", ".", "/", "/etc/passwd", "a/b",
    "first/../first", "a\nb", "\ud800", "\u202e", " ", "+", "first+" + "y/" * 3, "hf:", "hf:../x",
    "hf:" + "x" * 97 + "/" + "y" * 97, "hf:" + "z" * 9_000, "hf:a/b@" + "0" * 40, "hf:a/b@" + "c/" * 50 + "d",
    "coco-objects", "clipcap-mlp", "%00", "😀", "first+" + "q" * 5_000, "{}", "first' OR 1=1",
]  # fmt: skip


async def test_whatever_is_asked_for_as_a_model_gets_one_sentence_without_a_path(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    async with serving(settings) as url:
        for name in ODD_NAMES:
            quoted = name.encode(errors="surrogatepass")
            query = "model=" + "".join(f"%{byte:02x}" for byte in quoted)
            for path, data in (("/caption", fakes.picture()), ("/checkpoint", None)):
                target = URL(f"{url}{path}?{query}", encoded=True)
                async with aiohttp.ClientSession() as session:
                    if len(query) > 8_000:  # the server's own limit of a request's first line
                        continue
                    method = "POST" if data else "GET"
                    async with session.request(method, target, data=data) as answer:
                        told = await answer.json()
                        assert answer.status == 404, (name, told)
                        assert told["error"] == "unknown_model"
                        for folder in (settings.models_dir, tmp_path, Path.home() / ".cache"):
                            assert str(folder) not in told["sentence"]
                        assert len(told["sentence"]) < 1_500


@given(st.text(st.characters(), max_size=300))
@example("hf:" + "x" * 97 + "/" + "y" * 97 + "@" + "0" * 40)
def test_no_name_breaks_the_look_for_a_model(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        fakes.hash_of(Path("nowhere"), name)
    assert len(str(caught.value)) < 1_500


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("No model 'x' in /srv/my models: choose.", "No model 'x' here: choose."),
        ("/srv/my models/first/config.json has no 'encoder'.", "first/config.json has no 'encoder'."),
        ("[Errno 2] No such file: '/home/operator/secret/a.bin'", "[Errno 2] No such file: 'a.bin'"),
        ("It is in ~/.cache/hub/x.", "It is in x."),
        ("See https://example.org/a/b and (/usr/lib/x.so).", "See https://example.org/a/b and (x.so)."),
        ("POST to /caption, 1/2 of ORG/NAME/x.", "POST to /caption, 1/2 of ORG/NAME/x."),
    ],
)
def test_of_files_only_their_names_are_told(sentence: str, told: str) -> None:
    assert without_paths(sentence, EngineSettings(models_dir=Path("/srv/my models"))) == told
    relative = sentence.replace("/srv/my models", "checkpoints")
    assert without_paths(relative, EngineSettings(models_dir=Path("checkpoints"))) == told


def test_loopback_is_known() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.0.0.9", "::1")] == [True] * 3
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "gpu-box", "")] == [False] * 5


async def test_the_command_warns_of_a_misspelt_setting(settings: EngineSettings, tmp_path: Path) -> None:
    """Without its keys the service would be everybody's."""
    (tmp_path / ".env").write_text("SERVE_API_KEY=a-key-of-ours\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inference", "serve", "--port", "0", "--model", "nothing",
        "--models-dir", str(settings.models_dir), cwd=tmp_path, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    async with asyncio.timeout(120):
        _, errors = await process.communicate()
    assert "did you mean SERVE_API_KEYS?" in errors.decode()
    assert "a-key-of-ours" not in errors.decode()


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [
        ("127.0.0.1", "", False),
        ("0.0.0.0", "", True),
        ("0.0.0.0", " , ", True),
        ("0.0.0.0", "a-key-of-ours", False),
    ],
)
async def test_the_command_warns_of_a_port_that_is_open_to_everybody(
    settings: EngineSettings, host: str, keys: str, warned: bool
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inference", "serve", "--port", "0", "--host", host, "--model", "first",
        "--models-dir", str(settings.models_dir), "--captioner", settings.captioner,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "SERVE_API_KEYS": keys},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            said = (await process.stdout.readline()).decode()
            url = said.split()[-1].replace("0.0.0.0", "127.0.0.1")
            status = 401 if keys.strip(" ,") else 200
            assert (await ask(url, "/models"))[0] == status
            process.terminate()
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert ("set SERVE_API_KEYS" in errors.decode()) is warned
    assert "a-key-of-ours" not in errors.decode()

"""Hub models on this machine: their settings and files, and fetching them over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner

from inference.__main__ import app
from inference.checkpoints.hub import HubSettings, fetch, find_snapshot, weight_files
from inference.checkpoints.names import HubModel, ModelName
from inference.common.types import UnknownModel
from tests.inference.fakes import hash_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put(cache: Path, repo: str, commit: str = COMMIT, revision: str = "main") -> Path:
    """A repository with one snapshot, as far as nobody opens its weights."""
    folder = cache / ("models--" + repo.replace("/", "--"))
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").touch()
    (folder / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text(commit)
    return snapshot


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HUB_PROMPT", "HUB_TRANSLATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def settings(text: str) -> HubSettings:
    """What is asked for by a hub model's name."""
    name = ModelName.parse(text)
    assert isinstance(name.model, HubModel)
    return HubSettings.of(name.model, name.translation)


def test_settings_come_from_the_name_then_the_environment_then_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert settings("hf:a/b") == HubSettings(HubModel("a/b"))
    (tmp_path / ".env").write_text("HUB_PROMPT='Что тут?'\nHUB_TRANSLATION=file/one\n", encoding="utf-8")
    assert settings("hf:a/b") == HubSettings(HubModel("a/b"), HubModel("file/one"), "Что тут?")
    monkeypatch.setenv("HUB_TRANSLATION", "hf:environment/one@v2")
    assert settings("hf:a/b").translation == HubModel("environment/one", "v2")
    named = settings("hf:a/b@v1+name/one@v3")
    assert (named.model, named.translation) == (HubModel("a/b", "v1"), HubModel("name/one", "v3"))
    monkeypatch.setenv("HUB_TRANSLATION", "")
    monkeypatch.setenv("HUB_PROMPT", " ")
    assert settings("hf:a/b") == HubSettings(HubModel("a/b"))


def test_a_checkpoint_is_its_commit_and_what_the_operator_added(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(tmp_path, "a/b")
    put(tmp_path, "c/d", COMMIT[::-1])
    assert hash_of(tmp_path, "hf:a/b") == hash_of(tmp_path, f"hf:a/b@{COMMIT}") == COMMIT
    translated = hash_of(tmp_path, "hf:a/b+c/d")
    monkeypatch.setenv("HUB_PROMPT", "Опиши.")
    prompted = hash_of(tmp_path, "hf:a/b")
    monkeypatch.setenv("HUB_PROMPT", "Опиши подробно.")
    others = {translated, prompted, hash_of(tmp_path, "hf:a/b"), hash_of(tmp_path, "hf:a/b+c/d")}
    assert len(others) == 4
    assert all(other.startswith(f"{COMMIT}-") and len(other) == 49 for other in others)
    with pytest.raises(UnknownModel, match="pull hf:c/none"):
        hash_of(tmp_path, "hf:a/b+c/none")


def test_snapshots_are_found_by_revision_in_either_place(
    offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    first = put(hub, "a/b", revision="refs/pr/4")
    assert find_snapshot(HubModel.parse("a/b@refs/pr/4"), None) == first
    with pytest.raises(UnknownModel, match="not on this machine"):
        find_snapshot(HubModel.parse("a/b"), None)
    own = put(tmp_path / "models", "a/b", COMMIT[::-1])
    assert find_snapshot(HubModel.parse("a/b"), tmp_path / "models") == own
    assert find_snapshot(HubModel.parse(f"a/b@{COMMIT}"), tmp_path / "models") == first
    assert fetch(HubModel.parse("a/b"), tmp_path / "models") == own


def test_a_download_that_broke_off_is_not_taken_for_whole(offline: None, tmp_path: Path) -> None:
    snapshot = put(tmp_path, "a/b")
    (snapshot / "model.safetensors").unlink()
    parts = {"x": "model-00001-of-00002.safetensors", "y": "model-00002-of-00002.safetensors"}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    (snapshot / parts["x"]).touch()
    for ask in (find_snapshot, fetch):
        with pytest.raises(UnknownModel, match=r"only in part on this machine: .*pull hf:a/b"):
            ask(HubModel("a/b"), tmp_path)
    (snapshot / parts["y"]).touch()
    assert weight_files(find_snapshot(HubModel("a/b"), tmp_path)) == [
        snapshot / parts["x"],
        snapshot / parts["y"],
    ]
    (snapshot / "model.safetensors.index.json").write_text("{")
    with pytest.raises(UnknownModel, match="only in part"):
        find_snapshot(HubModel("a/b"), tmp_path)


def test_nothing_here_needs_torch() -> None:
    code = (
        "import sys, inference.checkpoints.hub, inference.serving.remote\n"
        "import inference.checkpoints.coco_objects\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- fetching ---

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "pytorch_model.bin": b"the same, pickled",
    "tf_model.h5": b"the same for others",
    "tokenizer.json": b"[]",
    "modeling_own.py": b"raise SystemExit",
}


def hub_server(asked: list[str]) -> web.Application:
    """As much of the hub as its client asks for."""

    def tell(request: web.Request) -> None:
        asked.append(f"{request.method} {request.path}")

    async def info(request: web.Request) -> web.Response:
        tell(request)
        if request.match_info["name"] != "model":
            headers = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            return web.json_response({"error": "Repository not found"}, status=404, headers=headers)
        if request.match_info["revision"] not in {"main", COMMIT}:
            headers = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}
            return web.json_response({"error": "Invalid rev id"}, status=404, headers=headers)
        siblings = [{"rfilename": name} for name in FILES]
        return web.json_response(
            {"id": "tiny/model", "modelId": "tiny/model", "sha": COMMIT, "siblings": siblings}
        )

    async def tree(request: web.Request) -> web.Response:
        if request.match_info["name"] != "model" or request.match_info["revision"] not in {"main", COMMIT}:
            return await info(request)
        tell(request)
        rows = [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in FILES.items()
        ]
        return web.json_response(rows)

    async def resolve(request: web.Request) -> web.Response:
        tell(request)
        data = FILES[request.match_info["file"]]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        return web.Response(body=data, headers=headers)

    app = web.Application()
    app.router.add_get("/api/models/tiny/{name}/revision/{revision}", info)
    app.router.add_get("/api/models/tiny/{name}/tree/{revision}", tree)
    app.router.add_get("/tiny/model/resolve/{revision}/{file}", resolve)
    return app


@contextlib.asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[list[str]]:
    """A hub of this test's own, and what it is asked for."""
    asked: list[str] = []
    async with listening(hub_server(asked)) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        yield asked


async def pull(*names: str) -> tuple[int, str, str]:
    """The command's exit status, and what it says."""
    result = await asyncio.to_thread(CliRunner().invoke, app, ["pull", *names, "--models-dir", "models"])
    return result.exit_code, result.stdout, result.stderr


async def test_a_model_is_fetched_once_without_what_is_not_needed(hub: list[str], tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--tiny--model" / "snapshots" / COMMIT
    status, said, errors = await pull("hf:tiny/model")
    assert (status, said) == (0, f"{snapshot}: hf:tiny/model\n"), errors
    there = {file.name: file.read_bytes() for file in snapshot.iterdir()}
    assert there == {name: FILES[name] for name in ("config.json", "model.safetensors", "tokenizer.json")}
    hub.clear()
    assert (await pull("hf:tiny/model"))[:2] == (0, said)
    assert hub == []
    # As after a download that was cut off.
    (snapshot / "model.safetensors").unlink()
    assert (await pull("hf:tiny/model"))[:2] == (0, said)
    assert (snapshot / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf:tiny/other", "The hub has no model tiny/other: check its name"),
        ("hf:tiny/model@v9", "The hub model tiny/model has no revision v9: choose another"),
        ("hf:../x", "'../x' is no name of a hub model"),
    ],
)
async def test_what_the_hub_has_not_is_one_sentence(hub: list[str], name: str, sentence: str) -> None:
    status, _, errors = await pull(name)
    assert status == 2
    assert errors.startswith(sentence)
    assert len(errors.splitlines()) == 1


async def test_without_the_net_a_sentence_says_what_to_do(
    hub: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    status, _, errors = await pull("hf:tiny/model")
    assert (status, hub) == (2, [])
    assert errors.startswith("The hub model tiny/model is not on this machine: connect to the internet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    # The hub's client tries five times, with pauses that add up to 23 seconds.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    status, _, errors = await pull("hf:tiny/model")
    assert status == 2
    assert errors.startswith("The hub model tiny/model is not on this machine")
    assert "The hub cannot be reached" in errors
    assert len(errors.splitlines()) == 1

"""Fetching weights: over real HTTP, with what goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.__main__ import app
from inference.checkpoints import manifest
from inference.checkpoints.pull.entries import KNOWN, PullError, Remote, Weights, read_list
from inference.checkpoints.pull.pulling import Pulled, find_pulled, pull
from inference.common.types import UnknownModel
from tests.host import Host, serving

ROOT = Path(__file__).parents[3]
DATA = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def host() -> Iterator[Host]:
    with serving() as running:
        running.files["/w.bin"] = DATA
        yield running


def fetch(remote: Remote, models_dir: Path) -> Pulled:
    (found,) = pull(Weights("thing", "", (remote,)), models_dir, pauses=(0.0, 0.0))
    return found


def recorded(folder: Path) -> dict[str, manifest.Entry]:
    return manifest.read_manifest(folder)


def test_a_file_is_fetched_checked_recorded_and_not_fetched_again(host: Host, tmp_path: Path) -> None:
    remote = Remote(f"{host.url}/w.bin", SHA256)
    found = fetch(remote, tmp_path)
    assert found == Pulled(tmp_path / "thing" / "w.bin", SHA256, "published", fetched=True)
    assert found.path.read_bytes() == DATA
    assert sorted(path.name for path in found.path.parent.iterdir()) == ["manifest.json", "w.bin"]
    entry = recorded(found.path.parent)["w.bin"]
    assert (entry["sha256"], entry["size"], entry["url"]) == (SHA256, len(DATA), f"{host.url}/w.bin")
    assert find_pulled(tmp_path, "thing") == tmp_path / "thing"
    assert fetch(remote, tmp_path).fetched is False
    assert len(host.asked) == 1
    found.path.write_bytes(DATA[:-1] + b"?")  # changed since
    assert fetch(remote, tmp_path).fetched is True
    assert found.path.read_bytes() == DATA


def test_a_connection_that_breaks_is_taken_up_where_it_broke(host: Host, tmp_path: Path) -> None:
    host.etags["/w.bin"] = '"1"'
    host.cuts = [100_000, 0, 50_000]
    assert fetch(Remote(f"{host.url}/w.bin", SHA256), tmp_path).path.read_bytes() == DATA
    assert [asked for _, asked in host.asked] == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]


def test_a_server_that_is_down_for_a_while_is_asked_again(host: Host, tmp_path: Path) -> None:
    host.errors = [503, 429]
    assert fetch(Remote(f"{host.url}/w.bin"), tmp_path).sha256 == SHA256
    host.errors = [500] * 9
    with pytest.raises(PullError, match=r"cannot be fetched \(500 .*\): check the network\.$"):
        fetch(Remote(f"{host.url}/w.bin", file="other.bin"), tmp_path)
    host.errors, host.cuts = [], [70_000, 0, 0, 0, 0]
    with pytest.raises(PullError, match=r"0\.1 MB of it are kept, and the same command goes on from there"):
        fetch(Remote(f"{host.url}/w.bin", file="third.bin"), tmp_path)
    host.cuts = []
    assert fetch(Remote(f"{host.url}/w.bin", file="third.bin"), tmp_path).sha256 == SHA256
    assert host.asked[-1] == ("/w.bin", "bytes=70000-")


def test_a_server_that_sends_no_parts_sends_the_whole(host: Host, tmp_path: Path) -> None:
    host.ranges, host.cuts = False, [100_000]
    assert fetch(Remote(f"{host.url}/w.bin", SHA256), tmp_path).path.read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_begun_anew(host: Host, tmp_path: Path) -> None:
    host.etags["/w.bin"], host.cuts = '"1"', [100_000, 0, 0, 0]
    with pytest.raises(PullError, match="are kept"):
        fetch(Remote(f"{host.url}/w.bin"), tmp_path)
    host.files["/w.bin"], host.etags["/w.bin"], host.cuts = DATA[::-1], '"2"', []
    assert fetch(Remote(f"{host.url}/w.bin"), tmp_path).path.read_bytes() == DATA[::-1]


def test_what_was_kept_and_does_not_agree_is_fetched_once_more(host: Host, tmp_path: Path) -> None:
    part = tmp_path / "thing" / "w.bin.part"
    part.parent.mkdir()
    for left in (b"nonsense" * 100, DATA + b"more", DATA[:-1] + b"?"):
        part.write_bytes(left)
        assert fetch(Remote(f"{host.url}/w.bin", SHA256), tmp_path).path.read_bytes() == DATA
        (tmp_path / "thing" / "w.bin").unlink()
    part.write_bytes(DATA)  # killed between the last byte and the renaming
    host.asked.clear()
    assert fetch(Remote(f"{host.url}/w.bin", SHA256), tmp_path).path.read_bytes() == DATA
    assert [asked for _, asked in host.asked] == [f"bytes={len(DATA)}-"]


def test_a_wrong_file_is_deleted_and_both_hashes_are_named(host: Host, tmp_path: Path) -> None:
    other = "0" * 64
    with pytest.raises(
        PullError, match=f"has the sha256 {SHA256}, but {other} was expected: the file was del"
    ):
        fetch(Remote(f"{host.url}/w.bin", other), tmp_path)
    assert list((tmp_path / "thing").iterdir()) == []


HUB_FILE = "/org/name/resolve/main/w.bin"


@pytest.fixture
def hub(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A hub with one large file, which it sends on to where large files are."""
    monkeypatch.setenv("HF_ENDPOINT", host.url)
    # Another host by name, as the real one's: redirections within the hub are followed for what they say.
    host.redirects[HUB_FILE] = f"{host.url.replace('127.0.0.1', 'localhost')}/w.bin"
    host.headers[HUB_FILE] = {"X-Linked-ETag": f'"{SHA256}"', "X-Repo-Commit": "0" * 40}
    return host


def test_a_large_file_of_the_hub_is_compared_with_what_the_hub_says(hub: Host, tmp_path: Path) -> None:
    hub.etags["/w.bin"], hub.cuts = '"1"', [100_000]
    found = fetch(Remote("hf:org/name/w.bin"), tmp_path)
    assert (found.path.name, found.sha256, found.checked) == ("w.bin", SHA256, "hub")
    assert hub.asked[-1] == ("/w.bin", "bytes=100000-"), "it goes on where it broke off"
    assert recorded(found.path.parent)["w.bin"]["url"] == f"{hub.url}{HUB_FILE}"
    hub.asked.clear()
    assert fetch(Remote("hf:org/name/w.bin"), tmp_path).fetched is False
    assert hub.asked == []
    hub.headers[HUB_FILE]["X-Linked-ETag"] = f'"{"1" * 64}"'
    with pytest.raises(PullError, match=r"1{64} was expected"):
        fetch(Remote("hf:org/name/w.bin", file="x"), tmp_path)
    hub.headers[HUB_FILE]["X-Linked-ETag"] = '"d0be2dc421be4fcd0172e5afceea3970e2f3d940"'  # Git's own
    assert fetch(Remote("hf:org/name/w.bin", file="y"), tmp_path).checked == ""


def test_what_the_hub_does_not_give_is_one_sentence(
    hub: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hub's client tries five times, with pauses that add up to 23 seconds.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.headers["/org/name/resolve/main/none.bin"] = {"X-Error-Code": "EntryNotFound"}
    hub.headers["/org/none/resolve/main/w.bin"] = {"X-Error-Code": "RepoNotFound"}
    for url, sentence in (
        ("hf:org/name/none.bin", r"The hub model org/name has no file none\.bin: its author may have"),
        ("hf:org/none/w.bin", "The hub has no model org/none: check its name"),
    ):
        with pytest.raises(UnknownModel, match=sentence):
            fetch(Remote(url), tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        UnknownModel, match=r"^w\.bin of org/name cannot be fetched: check .* \(The hub cannot"
    ):
        fetch(Remote("hf:org/name/w.bin"), tmp_path)
    assert list((tmp_path / "thing").iterdir()) == []


def test_the_hash_may_be_known_from_the_name(host: Host, tmp_path: Path) -> None:
    for digits, right in ((SHA256[:8], True), ("00000000", False)):
        host.files[f"/net-{digits}.pth"] = DATA
        if right:
            assert fetch(Remote(f"{host.url}/net-{digits}.pth"), tmp_path).checked == "name"
        else:
            with pytest.raises(PullError, match="00000000 was expected"):
                fetch(Remote(f"{host.url}/net-{digits}.pth"), tmp_path)


def test_one_file_is_taken_out_of_an_archive(host: Host, tmp_path: Path) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("small.txt", "no")
        archive.writestr("vectors.txt", "кот 1 2 3\n")
    host.files["/v.zip"] = packed.getvalue()
    remote = Remote(f"{host.url}/v.zip", hashlib.sha256(packed.getvalue()).hexdigest(), member="vectors.txt")
    found = fetch(remote, tmp_path)
    assert found.path.read_text(encoding="utf-8") == "кот 1 2 3\n"
    assert sorted(path.name for path in found.path.parent.iterdir()) == ["manifest.json", "vectors.txt"]
    assert fetch(remote, tmp_path).fetched is False
    with pytest.raises(PullError, match=r"v\.zip is no archive with a none\.txt in it"):
        fetch(Remote(f"{host.url}/v.zip", member="none.txt"), tmp_path)
    assert not list((tmp_path / "thing").glob("*.part"))


def test_what_cannot_be_fetched_is_one_sentence(host: Host, tmp_path: Path) -> None:
    for remote, sentence in (
        (Remote(f"{host.url}/none.bin"), r"none\.bin is not there \(404 .*: its author may have moved it"),
        (Remote("http://127.0.0.1:9/w.bin"), r"cannot be fetched \(.*refused.*\): check the network\.$"),
        (Remote("ftp://127.0.0.1/w.bin"), "is no address of the web"),
    ):
        with pytest.raises(PullError, match=sentence) as caught:
            fetch(remote, tmp_path)
        assert "\n" not in str(caught.value)
    host.errors = [403]
    with pytest.raises(PullError, match=r"is refused .403 .*it needs a right that this command lacks"):
        fetch(Remote(f"{host.url}/w.bin"), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(PullError, match=r"cannot be written .*: make room or name another --models-dir"):
        list(pull(Weights("thing", "", ()), tmp_path / "file"))


def write_list(host: Host, folder: Path, **more: str) -> Path:
    path = folder / "list.json"
    rows = [{"name": "thing", "what": "A thing", "files": [{"url": f"{host.url}/w.bin", **more}]}]
    path.write_text(json.dumps(rows))
    return path


def test_a_killed_download_goes_on_where_it_was(
    host: Host, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A real process, killed in the middle; a second one while the first runs; then the rest alone."""
    host.etags["/w.bin"], host.stops_at = '"1"', 200_000
    command = ["pull", "thing", "--weights", str(write_list(host, tmp_path, sha256=SHA256))]
    command += ["--models-dir", str(tmp_path / "models")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    running = subprocess.Popen(
        [sys.executable, "-m", "inference", *command], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    )
    request.addfinalizer(running.kill)
    part = tmp_path / "models" / "thing" / "w.bin.part"
    deadline = time.monotonic() + 120
    while not part.exists() or part.stat().st_size < 150_000:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    second = CliRunner().invoke(app, command)
    assert (second.exit_code, second.stderr) == (
        2,
        "w.bin is being fetched by another process: wait for it.\n",
    )
    running.kill()
    running.communicate()
    there = part.stat().st_size
    host.stops_at = None
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    assert host.asked[-1] == ("/w.bin", f"bytes={there}-")
    assert f"sha256 {SHA256} (as published)" in done.stdout
    assert part.with_name("w.bin").read_bytes() == DATA
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, "was there already" in again.stdout) == (0, True)


def test_the_command_says_what_is_not_known_beforehand(host: Host, tmp_path: Path) -> None:
    command = ["pull", "--models-dir", str(tmp_path), "--weights", str(write_list(host, tmp_path))]
    done = CliRunner().invoke(app, [*command, "thing"])
    assert done.exit_code == 0
    assert f"sha256 {SHA256} (no published hash to compare with; recorded)" in done.stdout
    shown = CliRunner().invoke(app, [*command, "--list"], env={"COLUMNS": "120"}).stdout
    assert all(name in shown for name in ("thing", "resnet50", "rudolph", "navec-hudlit", "A thing"))
    wrong = CliRunner().invoke(app, [*command, "nothing"])
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("There are no weights named 'nothing': choose one of resnet34, ")


@pytest.mark.parametrize(
    ("remote", "sentence"),
    [
        (Remote("torchvision:nothing/IMAGENET1K_V1"), "is no address of weights: write https"),
        (Remote("torchvision:resnet34/NEWEST"), "is no address of weights"),
        (Remote("hf:name"), "is no address of weights"),
        (Remote("weights.bin"), "is no address of weights"),
        (Remote("http:///w.bin"), "is no address of weights"),
        (Remote("/w.bin", file="../w.bin"), r"would be kept as '\.\./w\.bin', which is no file's name"),
        (Remote("/w.bin", member="/etc/w.bin"), "would be kept as '/etc/w.bin'"),
        (Remote("/..%2Fw.bin"), "would be kept as"),
        (Remote("/around"), r"is not there \(302 [^\n]*\): its author"),
    ],
)
def test_an_entry_that_cannot_be_followed_is_one_sentence(
    remote: Remote, sentence: str, host: Host, tmp_path: Path
) -> None:
    host.redirects = {"/around": "/around"}
    if remote.url.startswith("/"):
        remote = replace(remote, url=host.url + remote.url)
    with pytest.raises(PullError, match=sentence) as refused:
        list(pull(Weights("x", "", (remote,)), tmp_path / "models", pauses=()))
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_address_may_be_written_with_any_letters(host: Host, tmp_path: Path) -> None:
    host.files["/%D0%B2%D0%B5%D1%81%D0%B0%201.bin"] = DATA
    (found,) = pull(Weights("x", "", (Remote(f"{host.url}/веса 1.bin"),)), tmp_path, pauses=())
    assert (found.path.name, found.sha256) == ("веса 1.bin", SHA256)


def test_a_wrong_list_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    for text, sentence in (
        ("[", "is no list of weights"),
        ('[{"name": "a"}]', "is no list of weights"),
        ('[{"name": "a", "files": [{"link": "x"}]}]', "is no list of weights"),
        ('[{"name": "../a", "files": []}]', "which is no name of a folder"),
    ):
        path.write_text(text)
        with pytest.raises(PullError, match=sentence):
            read_list(path)


def test_the_known_weights_are_addresses_with_hashes_where_there_are_any() -> None:
    import torchvision

    for weights in KNOWN.values():
        assert Path(weights.name).name == weights.name
        assert weights.files and weights.what
        for remote in weights.files:
            scheme, _, rest = remote.url.partition(":")
            assert scheme in {"https", "hf", "torchvision"}
            assert remote.sha256 == "" or (len(remote.sha256) == 64 and remote.sha256 in remote.url)
            if scheme == "hf":
                assert len(rest.split("/")) == 3
            if scheme == "torchvision":
                model, name = rest.split("/")
                assert name in torchvision.models.get_model_weights(model).__members__
                assert name != "DEFAULT"

"""Reading VK groups, against a server on this machine that answers as VK's API does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from typer.testing import CliRunner, Result

from inference.common.errors import UserError
from tests.disk import files_of_at_most
from tests.drawing import jpeg_bytes
from tests.train_scripts.data.pictures import drawn, read_rows
from train_scripts.__main__ import app
from train_scripts.data.records import Record, Refused
from train_scripts.data.sources.vk import Vk, group_name, largest_photo, read_vk

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "vk1.a.secret"
OWNER = -77
Post = dict[str, Any]


@dataclass
class Wall:
    """What the server has, and what it was asked."""

    posts: list[Post] = field(default_factory=list)  # the newest first
    calls: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    errors: list[Any] = field(
        default_factory=list
    )  # answers of the next calls: an error code, a status, bytes; 0: the posts
    broken_files: dict[str, list[int | bytes]] = field(default_factory=dict)
    # statuses of the next answers, or what comes instead of pictures, by path
    url: str = ""
    deleted: int = 0  # of the newest posts, when the second page is asked for
    blocked: threading.Event | None = None  # the page after the second one waits for it

    def photo(self, number: int, **sizes: Any) -> dict[str, Any]:
        small = {"type": "s", "width": 75, "height": 75, "url": f"{self.url}/small/{number}.jpg"}
        large = {"type": "z", "width": 96, "height": 96, "url": f"{self.url}/large/{number}.jpg"}
        return {"type": "photo", "photo": {"id": number, "owner_id": OWNER, "sizes": [large, small]} | sizes}

    def post(self, number: int, text: str = "", **values: Any) -> Post:
        attachments = values.pop("attachments", [self.photo(number)])
        base = {"id": number, "owner_id": OWNER, "date": 1_700_000_000 + number, "text": text}
        return base | {"attachments": attachments} | values


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wall: Wall

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.wall.files.append(self.path)
        if answers := self.wall.broken_files.get(self.path):
            answer = answers.pop(0)
            self.answer(*((200, answer) if isinstance(answer, bytes) else (answer, b"no")))
        else:
            number = int(Path(self.path).stem)
            self.answer(200, jpeg_bytes(drawn(number)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        values = {key: value[0] for key, value in parse_qs(body).items()}
        self.wall.calls.append(values | {"path": self.path})
        self.wall.times.append(time.monotonic())
        if error := self.wall.errors.pop(0) if self.wall.errors else 0:
            if isinstance(error, bytes):
                return self.answer(200, error)
            if error >= 400:
                return self.answer(error, b"gateway")
            message = "Access to {wall} denied" if error == 223 else "Too many requests per second"
            return self.reply({"error": {"error_code": error, "error_msg": message}})
        if len(self.wall.calls) == 2:
            del self.wall.posts[: self.wall.deleted]
        offset, count = int(values["offset"]), int(values["count"])
        if offset >= 200 and self.wall.blocked is not None:
            self.wall.blocked.wait(120)
        items = self.wall.posts[offset : offset + count]
        return self.reply({"response": {"count": len(self.wall.posts), "items": items}})

    def reply(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode())


@pytest.fixture
def wall() -> Iterator[Wall]:
    found = Wall()
    handler = type("Own", (Handler,), {"wall": found})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    if found.blocked is not None:
        found.blocked.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def vk(wall: Wall) -> Vk:
    return Vk(TOKEN, wall.url, pause=0, patience=0.001)


def run(wall: Wall, *arguments: str | Path) -> Result:
    environment = {"VK_TOKEN": TOKEN, "VK_API_URL": wall.url}
    return CliRunner().invoke(app, ["prepare", "vk", *map(str, arguments)], env=environment)


def records(items: Iterator[Record | Refused]) -> tuple[list[Record], dict[str, str]]:
    found = list(items)
    kept = [one for one in found if isinstance(one, Record)]
    return kept, {one.where.rpartition("_")[2]: one.reason for one in found if isinstance(one, Refused)}


def test_the_command_makes_a_data_set_of_a_group(tmp_path: Path, wall: Wall) -> None:
    wall.posts = [wall.post(3, "Кот"), wall.post(2), wall.post(1, attachments=[])]
    out = tmp_path / "out"
    done = run(wall, "https://vk.com/cats", "--out", out)
    assert done.exit_code == 0, done.output
    (row,) = read_rows(out / "metadata.jsonl")
    assert row == {
        "file_name": "images/-77_3.jpg",
        "text": "Кот",
        "split": "train",
        "source": "vk:cats",
        "original": None,
        "url": "https://vk.com/wall-77_3",
        "date": 1_700_000_003,
    }
    assert (out / row["file_name"]).read_bytes() == jpeg_bytes(drawn(3))
    (bare,) = read_rows(out / "undescribed.jsonl")
    assert bare["file_name"] == "images/-77_2.jpg"
    left_out = json.loads((out / "prepare" / "report.json").read_text("utf-8"))["rows"]["left_out"]
    assert left_out == {"post without a picture": 1}
    (call,) = wall.calls
    assert call["path"] == "/method/wall.get"
    assert (call["domain"], call["access_token"], call["count"]) == ("cats", TOKEN, "100")
    assert sorted(wall.files) == ["/large/2.jpg", "/large/3.jpg"]
    assert not any(
        TOKEN in path.read_text("utf-8", errors="ignore") for path in out.rglob("*") if path.is_file()
    )

    # A later run adds what is new and fetches nothing again.
    wall.posts.insert(0, wall.post(4, "Пёс"))
    assert run(wall, "https://vk.com/cats", "--out", out).exit_code == 0
    assert [r["text"] for r in read_rows(out / "metadata.jsonl")] == ["Пёс", "Кот"]
    assert len(wall.files) == 3


def test_a_token_is_needed(tmp_path: Path, wall: Wall) -> None:
    done = CliRunner().invoke(
        app, ["prepare", "vk", "cats", "--out", str(tmp_path / "o")], env={"VK_TOKEN": ""}
    )
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "put it into the environment as VK_TOKEN" in done.stderr


def test_all_pages_are_read_and_later_only_new_ones(tmp_path: Path, wall: Wall, vk: Vk) -> None:
    wall.posts = [wall.post(n, str(n)) for n in range(250, 0, -1)]
    wall.posts.insert(0, wall.post(5, "5", is_pinned=1))  # stands first, and in its place again
    kept, _ = records(read_vk(["cats"], vk, tmp_path))
    assert [r.text for r in kept] == [str(n) for n in range(250, 0, -1)]
    assert [call["offset"] for call in wall.calls] == ["0", "100", "200"]
    wall.posts[1:1] = [wall.post(n, str(n)) for n in range(370, 250, -1)]
    kept, _ = records(read_vk(["cats"], vk, tmp_path))
    assert len(kept) == 370
    assert [call["offset"] for call in wall.calls[3:]] == ["0", "100"]
    assert len(wall.files) == len(set(wall.files)) == 370


@pytest.mark.parametrize("last", [250, 130])
def test_posts_deleted_meanwhile_hide_no_other(last: int, tmp_path: Path, wall: Wall, vk: Vk) -> None:
    wall.posts, wall.deleted = [wall.post(n, str(n)) for n in range(last, 0, -1)], 30
    kept, _ = records(read_vk(["cats"], vk, tmp_path))
    assert [r.text for r in kept] == [str(n) for n in range(last, 0, -1)]


def test_it_goes_on_after_a_kill_though_posts_came_and_went(tmp_path: Path, wall: Wall) -> None:
    def post(n: int) -> Post:
        return wall.post(n, str(n)) if n % 10 == 0 else wall.post(n, attachments=[])

    wall.posts = [post(n) for n in range(350, 0, -1)]
    wall.blocked = threading.Event()
    out = tmp_path / "out"
    command = [sys.executable, "-m", "train_scripts", "prepare", "vk", "cats", "--out", str(out)]
    environment = {**os.environ, "VK_TOKEN": TOKEN, "VK_API_URL": wall.url}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 120
            while len(wall.calls) < 3:  # two pages are stored, the third one is asked for
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    wall.blocked.set()
    wall.posts = [post(n) for n in (370, 360)] + wall.posts[60:]  # two came, sixty went
    assert run(wall, "cats", "--out", out).exit_code == 0
    assert wall.calls[3]["offset"] == "100"
    # Nothing is missing of what was there at the start; what came meanwhile, the next run brings.
    texts = [int(row["text"]) for row in read_rows(out / "metadata.jsonl")]
    assert texts == list(range(350, 0, -10))
    assert run(wall, "cats", "--out", out).exit_code == 0
    texts = [int(row["text"]) for row in read_rows(out / "metadata.jsonl")]
    assert texts == list(range(370, 0, -10))
    assert len(wall.files) == len(set(wall.files)) == 37


def test_it_goes_on_though_more_posts_than_a_page_were_deleted_meanwhile(
    tmp_path: Path, wall: Wall, vk: Vk
) -> None:
    wall.posts, wall.errors = [wall.post(n, attachments=[]) for n in range(500, 0, -1)], [0, 0, 0, 14]
    with pytest.raises(UserError, match="captcha"):
        list(read_vk(["cats"], vk, tmp_path))  # three pages are stored
    wall.posts, last = wall.posts[180:], wall.posts[180]
    assert last["id"] == 320
    _, refused = records(read_vk(["cats"], vk, tmp_path))
    assert sorted(map(int, refused)) == list(range(1, 501))


def test_a_wall_is_read_anew_where_its_files_were_damaged(tmp_path: Path, wall: Wall, vk: Vk) -> None:
    wall.posts = [wall.post(n, str(n)) for n in range(230, 0, -1)]
    first = list(read_vk(["cats"], vk, tmp_path))
    state, journal = tmp_path / "vk" / "cats.state.json", tmp_path / "vk" / "cats.jsonl"
    for damage in (b"", b"[]", b'{"floor": "x"}', b"\xff"):
        state.write_bytes(damage)
        assert list(read_vk(["cats"], vk, tmp_path)) == first
    lines = journal.read_text("utf-8").splitlines(keepends=True)
    for damaged in ("{\n", '{"id": 1}\n'):
        journal.write_text("".join([*lines[:200], damaged, *lines[201:]]), encoding="utf-8")
        with pytest.raises(UserError, match=f"{journal}, line 201, is damaged: remove the line"):
            list(read_vk(["cats"], vk, tmp_path))
        # As the sentence says; what the line held is far below the newest posts, and comes again.
        journal.write_text("".join([*lines[:200], *lines[201:]]), encoding="utf-8")
        assert list(read_vk(["cats"], vk, tmp_path)) == first
    assert len(wall.files) == 230


def test_a_full_disk_gets_one_sentence(tmp_path: Path, wall: Wall) -> None:
    wall.posts = [wall.post(n, "Кот") for n in range(8, 0, -1)]
    out = tmp_path / "out"
    with files_of_at_most(2000):  # room for the posts, not for a picture
        done = run(wall, "cats", "--out", out)
    assert done.exit_code == 1, done.output
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert "cannot be written (File too large): make room there and run the same command again" in sentence
    assert isinstance(done.exception, SystemExit)
    assert run(wall, "cats", "--out", out).exit_code == 0
    assert len(read_rows(out / "metadata.jsonl")) == 8


def test_only_the_newest_posts(tmp_path: Path, wall: Wall, vk: Vk) -> None:
    wall.posts = [wall.post(n, str(n)) for n in range(250, 0, -1)]
    kept, _ = records(read_vk(["cats"], vk, tmp_path, limit=120))
    assert [r.text for r in kept] == [str(n) for n in range(250, 130, -1)]
    assert len(wall.calls) == 2
    # Without the limit, what lies below it is read.
    kept, _ = records(read_vk(["cats"], vk, tmp_path))
    assert len(kept) == 250


def test_no_more_than_three_calls_a_second(tmp_path: Path, wall: Wall) -> None:
    wall.posts = [wall.post(n, attachments=[]) for n in range(500, 0, -1)]
    list(read_vk(["cats"], Vk(TOKEN, wall.url), tmp_path))
    assert len(wall.times) == 5
    # Four gaps of 0.35 s between the calls; at the server they come a little earlier or later.
    assert wall.times[-1] - wall.times[0] > 1.1


ODD = [
    b"<html>",
    b"[]",
    b"[" * 100_000,
    b'{"response": 5}',
    b'{"response": {"count": "x", "items": []}}',
    b'{"error": {"error_code": "x"}}',
]


@pytest.mark.parametrize("errors", [[6, 6, 6], [10, 1, 9], [502, 504], ODD[:3], ODD[3:]])
def test_what_passes_is_tried_again(tmp_path: Path, wall: Wall, vk: Vk, errors: list[Any]) -> None:
    wall.posts, wall.errors = [wall.post(1, "Кот")], list(errors)
    kept, _ = records(read_vk(["cats"], vk, tmp_path))
    assert [r.text for r in kept] == ["Кот"]
    assert len(wall.calls) == len(errors) + 1


@pytest.mark.parametrize(
    ("errors", "sentence"),
    [
        ([5], "VK does not know the token: put a valid one"),
        ([15], "The wall of cats is closed to the token"),
        ([29], "run the same command again tomorrow, it goes on from here"),
        ([100], "VK knows no group cats: check the name"),
        ([222], r"VK refuses to show cats \(error 222"),
        ([223], r"VK refuses to show cats \(error 223: Access to {wall} denied\)"),
        ([500] * 20, r"VK does not answer \(HTTP status 500\): check the network"),
        ([6] * 20, r"VK does not answer \(Too many requests per second\)"),
    ],
)
def test_what_does_not_pass_gets_a_sentence(
    tmp_path: Path, wall: Wall, vk: Vk, errors: list[Any], sentence: str
) -> None:
    wall.errors = errors
    with pytest.raises(UserError, match=sentence):
        list(read_vk(["cats"], vk, tmp_path))


def test_an_address_that_is_none_gets_a_sentence_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'vk' is no address: give --api-url one as https:"):
        list(read_vk(["cats"], Vk(TOKEN, "vk"), tmp_path))


def test_a_server_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="VK does not answer"):
        list(read_vk(["cats"], Vk(TOKEN, "http://127.0.0.1:9", pause=0, patience=0.001), tmp_path))


def test_advertisements_are_left_out_each_by_its_reason(tmp_path: Path, wall: Wall, vk: Vk) -> None:
    repost: Callable[..., list[Post]] = lambda number, **values: [wall.post(number, "Чужой кот", **values)]  # noqa: E731
    nobodys = wall.photo(1)
    del nobodys["photo"]["id"]
    again = [wall.post(93, "Смотрите", attachments=[]), wall.post(94, "Кот другого кота")]
    link = {"type": "link", "link": {"url": "https://shop"}}
    wall.posts = [
        wall.post(13, attachments=[], copy_history=again),
        wall.post(12, "Кот"),
        wall.post(11, "Купите", marked_as_ads=1),
        wall.post(10, attachments=[], copy_history=repost(90, marked_as_ads=1)),
        wall.post(9, attachments=[], copy_history=repost(91)),
        wall.post(8, "Заходите: https://shop.example"),
        wall.post(7, "Подпишись на [club5|Котиков]"),
        wall.post(6, "Смотри vk.cc/abc"),
        wall.post(5, "Кот", attachments=[wall.photo(5), link]),
        wall.post(4, "Видео", attachments=[{"type": "video", "video": {}}]),
        wall.post(3, "Два кота", attachments=[wall.photo(31), wall.photo(32)]),
        wall.post(2, "Сломан", attachments=[{"type": "photo", "photo": {"id": "x", "sizes": "?"}}]),
        wall.post(1, "Чей?", attachments=[nobodys]),
    ]
    kept, refused = records(read_vk(["cats"], vk, tmp_path))
    assert [(r.name, r.text) for r in kept] == [
        ("-77_94.jpg", "Кот другого кота"),
        ("-77_12.jpg", "Кот"),
        ("-77_91.jpg", "Чужой кот"),
        ("-77_31.jpg", "Два кота"),
        ("-77_32.jpg", "Два кота"),
    ]
    assert refused == {
        "11": "advertisement",
        "10": "repost of an advertisement",
        "8": "post with a link",
        "7": "post with a link",
        "6": "post with a link",
        "5": "post with a link",
        "4": "post without a picture",
        "2": "damaged post",
        "1": "damaged post",
    }
    assert sorted(wall.files) == [f"/large/{n}.jpg" for n in (12, 31, 32, 91, 94)]


def test_a_picture_that_cannot_be_had_is_named_and_tried_again_by_the_next_run(
    tmp_path: Path, wall: Wall, vk: Vk
) -> None:
    wall.posts = [wall.post(4, "a"), wall.post(3, "b"), wall.post(2, "c"), wall.post(1, "d")]
    wall.broken_files = {
        "/large/4.jpg": [503, 500],
        "/large/3.jpg": [404],
        "/large/2.jpg": [b"<html>Sign in to this network</html>"],
    }
    found = list(read_vk(["cats"], vk, tmp_path))
    assert [one.text for one in found if isinstance(one, Record)] == ["a", "d"]
    lost = [one for one in found if isinstance(one, Refused)]
    assert {one.reason for one in lost} == {"picture not fetched"}
    assert "HTTP status 404" in lost[0].sentence
    assert "what came is no picture" in lost[1].sentence
    kept, refused = records(read_vk(["cats"], vk, tmp_path))
    assert ([r.text for r in kept], refused) == (["a", "b", "c", "d"], {})


@pytest.mark.parametrize(
    "address", ["//vk.com/1.jpg", "https://a..b/1.jpg", "file:///etc/passwd", "http://[::1"]
)
def test_a_picture_without_a_usable_address_hinders_no_other(
    address: str, tmp_path: Path, wall: Wall, vk: Vk
) -> None:
    bad = wall.photo(2, sizes=[{"type": "x", "width": 9, "height": 9, "url": address}])
    wall.posts = [wall.post(2, "a", attachments=[bad]), wall.post(1, "b")]
    kept, refused = records(read_vk(["cats"], vk, tmp_path))
    assert ([r.text for r in kept], refused) == (["b"], {"2": "picture not fetched"})


def test_several_groups_by_the_names_people_write(tmp_path: Path, wall: Wall, vk: Vk) -> None:
    wall.posts = [wall.post(1, "Кот")]
    list(read_vk(["https://vk.com/public77", "-77", "m.vk.com/cats?w=wall-1_2", "@cats"], vk, tmp_path))
    assert [(c.get("owner_id"), c.get("domain")) for c in wall.calls] == [("-77", None), (None, "cats")]
    with pytest.raises(UserError, match="is no VK group"):
        group_name("https://vk.com/cats/../x")


def test_the_largest_photo() -> None:
    sizes = [
        {"type": "x", "width": 604, "height": 400, "url": "x"},
        {"type": "w", "width": 2560, "height": 1700, "url": "w"},
        {"type": "r", "width": 510, "height": 340, "url": "r"},
    ]
    assert largest_photo({"sizes": sizes}) == "w"
    original = {"width": 4000, "height": 3000, "url": "original"}
    assert largest_photo({"sizes": sizes, "orig_photo": original}) == "original"
    unknown = [{"type": kind, "width": 0, "height": 0, "url": kind} for kind in "smyx"]
    assert largest_photo({"sizes": unknown}) == "y"
    assert largest_photo({"sizes": []}) is None

"""VK groups by VK's API (wall.get): the pictures of posts and what the posts say.

The method gives 100 posts a call, the newest first. Posts and the place reached are written down after every
call, so a run that was killed goes on from there; a later run reads only what is new. Advertisements are left
out: posts marked as such, reposts of such, and posts with a link.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from tqdm import tqdm

from inference.common.errors import UserError
from inference.pictures.kinds import looks_like_picture
from train_scripts.data.files import from_json
from train_scripts.data.journal import append_rows, kept_rows
from train_scripts.data.records import Items, Record, Refused
from train_scripts.files import replacing, write_text

__all__ = ["API", "Vk", "group_name", "largest_photo", "read_vk"]

API = "https://api.vk.com"
VERSION = "5.199"
_PAGE = 100  # posts a call; the most that VK allows
_PAUSE = 0.35  # seconds between calls: three a second are allowed
_TRIES = 6
_DOWNLOADS = 6  # pictures fetched at once
_MAX_BYTES = 50_000_000
_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=20, sock_read=60)
_TOO_OFTEN, _FLOOD = 6, 9
_AGAIN = {1, _TOO_OFTEN, _FLOOD, 10}  # unknown error, too many calls, flood, internal error
_SENTENCES = {
    5: "VK does not know the token: put a valid one into the environment as VK_TOKEN.",
    8: "VK refuses the request: check --api-url, or whether the API still has wall.get.",
    14: "VK wants a captcha: wait an hour, then run the same command again, it goes on from here.",
    15: "The wall of {group} is closed to the token: use a token of somebody who may read it.",
    18: "The page {group} is deleted or banned: leave it out.",
    27: "The token is a group's, which may not read walls: use a service token or a user's.",
    28: "The token is an application's, which may not read walls here: use a service token or a user's.",
    29: "The day's limit of calls is reached: run the same command again tomorrow, it goes on from here.",
    30: "The page {group} is private: leave it out, or use a token of somebody who may read it.",
    100: "VK knows no group {group}: check the name.",
    113: "VK knows no group {group}: check the name.",
    203: "The wall of {group} is closed to the token: use a token of somebody who may read it.",
}
# Of a wall: the newest post that an earlier run has read down to, and how far this one has come: its newest
# post, the posts read, how many there were then; last, how many lines the journal had.
_START = {"floor": 0, "newest": 0, "read": 0, "count": 0, "written": 0}
# From the smallest to the largest: for photos so old that VK does not know their sizes.
_TYPES = "smoxpqryzw"
_LINK = re.compile(
    r"(?:https?://|www\.)|\b(?:vk\.cc|vk\.com|t\.me|clck\.ru|bit\.ly)/|\[[^\]|]+\|[^\]]+\]", re.I
)
_GROUP = re.compile(r"(?:https?://)?(?:www\.|m\.)?(?:vk\.com|vk\.ru)/", re.I)
_ID = re.compile(r"(?:public|club|event)?-?(\d+)")


class _Lost(Exception):  # noqa: N818 - a state
    """The answer did not come: worth another try."""


@dataclass(frozen=True, slots=True)
class Vk:
    """How VK is reached. `api_url`: without a path; `pause`: seconds between two calls; `patience`: seconds
    before the second try of a call, doubled before each further one.
    """

    token: str
    api_url: str = API
    pause: float = _PAUSE
    patience: float = 1.0


def group_name(text: str) -> str:
    """A group as people write it (an address, a name, `club123`, `-123`) as a name or a negative id.

    Raises UserError.
    """
    name = _GROUP.sub("", text.strip()).strip("/@").split("?")[0]
    if not re.fullmatch(r"-?[\w.]+", name):
        raise UserError(f"{text!r} is no VK group: give its address or name, as https://vk.com/name.")
    found = _ID.fullmatch(name)
    return f"-{found[1]}" if found else name


def largest_photo(photo: Mapping[str, Any]) -> str | None:
    """The address of the largest of a photo's sizes; None where it has none."""
    sizes = [one for one in [*photo.get("sizes", []), photo.get("orig_photo") or {}] if one.get("url")]

    def area(one: Mapping[str, Any]) -> tuple[int, int]:
        return int(one.get("width", 0)) * int(one.get("height", 0)), _TYPES.find(str(one.get("type", "")))

    return str(max(sizes, key=area)["url"]) if sizes else None


def read_vk(groups: Sequence[str], vk: Vk, work: Path, *, limit: int | None = None) -> Items:
    """Fetches the groups' posts and their pictures into `work`, then yields a record a picture.

    `limit`: of the newest posts of each group. A post whose pictures cannot be fetched is refused by that
    reason, and tried again by the next run. Raises UserError.
    """
    folder = work / "vk"
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(map(group_name, groups)))
    photos = asyncio.run(_fetch(names, vk, folder, limit))
    for name in names:
        for post in _posts(folder / f"{name}.jsonl", limit):
            yield from _records(post, folder, photos)


async def _fetch(names: Sequence[str], vk: Vk, folder: Path, limit: int | None) -> dict[str, str]:
    """All posts, then all pictures; returns why the pictures that are missing could not be fetched."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        client = _Client(session, vk)
        for name in names:
            await _wall(client, name, folder, limit)
        wanted = {
            photo["key"]: photo["url"]
            for name in names
            for post in _posts(folder / f"{name}.jsonl", limit)
            if post["left_out"] is None
            for photo in post["photos"]
            if not (folder / photo["key"]).exists()
        }
        failed: dict[str, str] = {}
        queue = list(wanted.items())
        with tqdm(total=len(queue), desc="Fetching pictures", unit="picture", disable=None) as bar:

            async def work() -> None:
                while queue:
                    key, url = queue.pop(0)
                    error = await client.download(url, folder / key)
                    if error is not None:
                        failed[key] = error
                    bar.update()

            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(_DOWNLOADS):
                        tasks.create_task(work())
            except ExceptionGroup as several:  # a full disk stops them all: once is enough
                raise several.exceptions[0] from None
        return failed


class _Client:
    """Calls, not too often, each tried again when it may help."""

    def __init__(self, session: aiohttp.ClientSession, vk: Vk) -> None:
        self._session = session
        self._vk = vk
        self._next = 0.0  # when the next call may start

    async def wall(self, group: str, offset: int) -> Mapping[str, Any]:
        """One page of a wall. Raises UserError."""
        own = {"owner_id": group} if group.startswith("-") else {"domain": group}
        values = {**own, "offset": str(offset), "count": str(_PAGE), "v": VERSION}
        values["access_token"] = self._vk.token  # in the body: addresses end up in logs
        last = ""
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(self._vk.patience * 2 ** (number - 1))
            try:
                answer = await self._call("wall.get", values)
            except _Lost as lost:
                last = str(lost)
                continue
            error = answer.get("error")
            if not isinstance(error, Mapping):
                page = answer.get("response")
                if isinstance(page, Mapping) and _is_page(page):
                    return page
                last = "it answered with something else than posts"
                continue
            code, last = error.get("error_code"), str(error.get("error_msg", ""))
            if isinstance(code, int) and code not in _AGAIN:
                if code in _SENTENCES:
                    raise UserError(_SENTENCES[code].format(group=group))
                raise UserError(f"VK refuses to show {group} (error {code}: {last}).")
        raise UserError(
            f"VK does not answer ({last}): check the network, then run the same command again, it goes on "
            "from here."
        )

    async def _call(self, method: str, values: Mapping[str, str]) -> Mapping[str, Any]:
        now = time.monotonic()
        wait, self._next = self._next - now, max(now, self._next) + self._vk.pause
        if wait > 0:
            await asyncio.sleep(wait)
        address = f"{self._vk.api_url.rstrip('/')}/method/{method}"
        try:
            async with self._session.post(address, data=values) as response:
                if response.status >= 400:
                    raise _Lost(f"HTTP status {response.status}")
                answer = await response.json(content_type=None, loads=from_json)
        except aiohttp.InvalidURL:
            raise UserError(
                f"{self._vk.api_url!r} is no address: give --api-url one as {API}, or leave it out."
            ) from None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _Lost(type(error).__name__) from None
        if not isinstance(answer, Mapping):
            raise _Lost("it answered with something else than an object")
        return answer

    async def download(self, url: str, target: Path) -> str | None:
        """Fetches a file, whole or not at all; returns why it could not be had. Raises OSError (disk)."""
        last = ""
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(self._vk.patience * 2 ** (number - 1))
            try:
                data = await self._bytes(url)
            except _Lost as lost:
                last = str(lost)
                continue
            if isinstance(data, str):
                return data
            if not looks_like_picture(data[:16]):
                return "what came is no picture"
            await asyncio.to_thread(_store, data, target)
            return None
        return last

    async def _bytes(self, url: str) -> bytes | str:
        """The file, or why another try would not bring it."""
        if not url.startswith(("http://", "https://")):
            return "its address is damaged"
        try:
            async with self._session.get(url) as response:
                if response.status >= 500 or response.status == 429:
                    raise _Lost(f"HTTP status {response.status}")
                if response.status >= 400:
                    return f"HTTP status {response.status}"
                data = bytearray()
                async for chunk in response.content.iter_chunked(1 << 16):
                    data += chunk
                    if len(data) > _MAX_BYTES:
                        return f"it is larger than {_MAX_BYTES // 1_000_000} MB"
                return bytes(data)
        except ValueError:  # aiohttp's InvalidURL, or a UnicodeError where the name of the host is none
            return "its address is damaged"
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _Lost(type(error).__name__) from None


def _is_page(page: Mapping[str, Any]) -> bool:
    return isinstance(page.get("items"), list) and isinstance(page.get("count"), int)


def _store(data: bytes, target: Path) -> None:
    with replacing(target) as part:
        part.write_bytes(data)


async def _wall(client: _Client, name: str, folder: Path, limit: int | None) -> None:
    """Reads a wall from its newest post down to what an earlier run has read to its end.

    New posts push the others down, so going on by the number of posts read repeats some; deleted ones pull
    them up, so it goes back by as many as the wall has become shorter.
    """
    journal, mark = folder / f"{name}.jsonl", folder / f"{name}.state.json"
    seen = {post["id"] for post in kept_rows(journal, "id")}
    state = _state(mark, len(seen))
    offset, known = max(0, state["read"] - _PAGE), state["count"]
    with tqdm(desc=f"Reading {name}", initial=offset, unit="post", disable=None) as bar:
        while True:
            page = await client.wall(name, offset)
            count = page["count"]
            if 0 < count < known:  # posts were deleted since the last page: those behind it have moved up
                offset, known = max(0, offset - (known - count)), count
                continue
            known = count
            posts = [one for one in page["items"] if isinstance(one, dict) and isinstance(one.get("id"), int)]
            append_rows(journal, [_short(post, name) for post in posts if post["id"] not in seen])
            seen.update(post["id"] for post in posts)
            # A pinned post stands first, however old it is.
            free = [post["id"] for post in posts if not post.get("is_pinned")]
            offset += len(page["items"])
            state["newest"] = max([state["newest"], *free])
            state |= {"read": offset, "count": count, "written": len(seen)}
            bar.total = count
            bar.update(len(page["items"]))
            at_end = not page["items"] or offset >= count
            if at_end or (free and min(free) <= state["floor"]):
                floor = max(state["floor"], state["newest"])
                break
            if limit is not None and offset >= limit:
                floor = state["floor"]  # what lies below the limit was not read
                break
            write_text(mark, json.dumps(state))
    write_text(mark, json.dumps(_START | {"floor": floor, "written": len(seen)}))


def _state(mark: Path, posts: int) -> dict[str, int]:
    """What the file says. The beginning where it is damaged, and where lines were removed from the journal,
    which now holds so many posts: reading a wall again costs calls, and loses nothing.
    """
    try:
        found = _START | json.loads(mark.read_text(encoding="utf-8"))
        state = {key: int(found[key]) for key in _START}
    except (FileNotFoundError, ValueError, TypeError):
        return dict(_START)
    return state if posts >= state["written"] else dict(_START)


def _short(post: Mapping[str, Any], group: str) -> dict[str, Any]:
    """What is kept of a post; of one that is not as VK documents posts, why it is of no use."""
    try:
        return _parts(post, group)
    except (TypeError, ValueError, AttributeError, LookupError):
        url = f"https://vk.com/wall{group}_{post['id']}"
        return {"id": post["id"], "url": url, "group": group, "photos": [], "left_out": "damaged post"}


def _parts(post: Mapping[str, Any], group: str) -> dict[str, Any]:
    reposted = [one for one in post.get("copy_history") or [] if isinstance(one, Mapping)]
    # A repost may repost another: what it shows stands in the first that has anything to show.
    shown = next((one for one in (post, *reposted) if one.get("attachments")), post)
    owner = post.get("owner_id", group)
    attachments = [one for one in shown.get("attachments") or [] if isinstance(one, Mapping)]
    photos = []
    for one in attachments:
        photo = one.get("photo")
        if one.get("type") == "photo" and isinstance(photo, Mapping) and (url := largest_photo(photo)):
            photos.append({"key": f"{_number(photo, 'owner_id')}_{_number(photo, 'id')}.jpg", "url": url})
    text = str(post.get("text") or "").strip() or str(shown.get("text") or "").strip()
    links = any(one.get("type") in {"link", "market", "market_album", "app"} for one in attachments)
    left_out = None
    if post.get("marked_as_ads"):
        left_out = "advertisement"
    elif any(one.get("marked_as_ads") for one in reposted):
        left_out = "repost of an advertisement"
    elif links or _LINK.search(text):
        left_out = "post with a link"
    elif not photos:
        left_out = "post without a picture"
    return {
        "id": post["id"],
        "url": f"https://vk.com/wall{owner}_{post['id']}",
        "group": group,
        "date": post.get("date"),
        "text": text,
        "photos": photos,
        "left_out": left_out,
    }


def _number(photo: Mapping[str, Any], key: str) -> int:
    """A number that is part of a file's name."""
    return int(photo[key])


def _posts(journal: Path, limit: int | None) -> Iterator[dict[str, Any]]:
    """The posts read so far, the newest first, each once."""
    posts = {post["id"]: post for post in kept_rows(journal, "id", "url", "group", "photos", "left_out")}
    newest = sorted(posts.values(), key=lambda post: -post["id"])
    yield from newest[:limit]


def _records(post: Mapping[str, Any], folder: Path, failed: Mapping[str, str]) -> Items:
    where = post["url"]
    if post["left_out"] is not None:
        yield Refused(where, post["left_out"], f"{where} is left out: {post['left_out']}.")
        return
    for photo in post["photos"]:
        file = folder / photo["key"]
        if file.exists():
            extra = {"url": where, "date": post["date"]}
            yield Record(where, photo["key"], file, post["text"] or None, f"vk:{post['group']}", extra=extra)
        else:
            why = failed.get(photo["key"], "it was not fetched")
            sentence = f"{where}: its picture {photo['url']} could not be fetched ({why}); run this again."
            yield Refused(where, "picture not fetched", sentence)

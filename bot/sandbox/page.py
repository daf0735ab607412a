"""The chat page's side of the stand-in: the page itself, its events, and what a person does there.

What the page speaks is here: `/`, `/static/...` and `/api/...` (JSON over HTTP, and server-sent events).
"""

from __future__ import annotations

import asyncio
import json
from importlib import resources
from urllib.parse import quote

from aiohttp import web

from bot.sandbox.api import Upload
from bot.sandbox.pictures import NotAPhotoError, photo_sizes, picture_size
from bot.sandbox.scene import ME, Scene
from bot.sandbox.world import Json

_STATIC = {
    "index.html": "text/html",
    "style.css": "text/css",
    "chat.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
# A file is shown inside the page only in these types; everything else is offered for download.
_SHOWN = {"image/jpeg", "image/png", "image/webp", "image/gif", "video/mp4", "audio/ogg"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class ChatPage:
    """The handlers of the page, over the `Scene` that they play a person in."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def routes(self) -> list[web.RouteDef]:
        """What the page is served by."""
        return [
            web.get("/", self._page),
            web.get("/static/{name}", self._page),
            web.get("/api/state", self._state),
            web.get("/api/events", self._events),
            web.get("/api/files/{file_id}", self._file),
            web.post("/api/messages", self._message),
            web.post("/api/edit", self._edit),
            web.post("/api/press", self._press),
            web.post("/api/language", self._language),
            web.post("/api/faults", self._faults),
            web.get("/api/calls", self._calls),
        ]

    async def _page(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "index.html")
        if name not in _STATIC:
            raise web.HTTPNotFound
        body = resources.files("bot.sandbox").joinpath("static", name).read_bytes()
        headers = {
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }
        return web.Response(body=body, content_type=_STATIC[name], charset="utf-8", headers=headers)

    async def _state(self, _: web.Request) -> web.StreamResponse:
        world = self._scene.world
        me = world.users[ME]
        language = me["language_code"]
        chats = [world.chats[ME], *(chat for chat in world.chats.values() if not chat.private)]
        return web.json_response(
            {
                "me": me,
                "bot": world.bot | {"first_name": world.said("name", language) or world.bot["first_name"]},
                "online": world.online,
                "description": world.said("description", language),
                "chats": [
                    {
                        "info": chat.info,
                        "commands": world.commands_for(chat, language),
                        "messages": list(chat.messages.values()),
                    }
                    for chat in chats
                ],
            }
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        queue = self._scene.world.subscribe()
        try:
            while not self._scene.world.stopping:
                try:
                    event = await asyncio.wait_for(queue.get(), 15)
                    await response.write(f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode())
                except TimeoutError:
                    await response.write(b": still here\n\n")
        except ConnectionError:
            pass  # the page was closed
        finally:
            self._scene.world.unsubscribe(queue)
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        stored = self._scene.world.files.get(request.match_info["file_id"])
        if stored is None:
            raise web.HTTPNotFound
        shown = stored.mime_type in _SHOWN and "download" not in request.query
        name = stored.name or stored.path.rpartition("/")[2]
        response = web.Response(
            body=stored.data, content_type=stored.mime_type if shown else "application/octet-stream"
        )
        kind = "inline" if shown else "attachment"
        response.headers["Content-Disposition"] = f"{kind}; filename*=UTF-8''{quote(name, safe='')}"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response.headers["Cache-Control"] = "private, max-age=3600"
        return response

    async def _message(self, request: web.Request) -> web.StreamResponse:
        """A message from the page: a form with `chat`, `text`, `reply_to`, `as_file` and files."""
        form = await request.post()
        files = [
            Upload(field.filename, field.content_type, field.file.read())
            for field in form.getall("file", [])
            if isinstance(field, web.FileField)
        ]
        text = str(form.get("text", "")).strip()
        try:
            place: Json = {"chat": int(str(form.get("chat", ME)))}
            if form.get("reply_to"):
                place["reply_to"] = int(str(form["reply_to"]))
            if files:
                sent = await self._send_files(files, text, form.get("as_file") == "1", place)
            elif text:
                sent = [await self._scene.send_text(text[:4096], **place)]
            else:
                sent = []
        except ValueError as error:
            raise web.HTTPConflict(text=str(error)) from error
        return web.json_response({"message_ids": [message["message_id"] for message in sent]})

    async def _send_files(self, files: list[Upload], caption: str, as_file: bool, place: Json) -> list[Json]:
        """Files as a client sends them: pictures together as albums, and what is no photo in its own kind."""
        sent: list[Json] = []
        photos: list[bytes] = []
        rest: list[Upload] = []
        for file in files:
            known = picture_size(file.data)
            if (
                as_file
                or known is None
                or known[0] == "GIF"
                or (known[0] == "WEBP" and max(known[1:]) <= 512)
            ):
                rest.append(file)
                continue
            try:
                await asyncio.to_thread(photo_sizes, file.data)
                photos.append(file.data)
            except NotAPhotoError:
                rest.append(file)  # clients send as a file what does not go as a photo
        how = place | {"caption": caption[:1024]}
        for start in range(0, len(photos), 10):
            part = photos[start : start + 10]
            if len(part) == 1:
                sent.append(await self._scene.send_photo(part[0], **how))
            else:
                sent += await self._scene.send_album(part, **how)
            how = place
        for file in rest:
            sent.append(await self._send_file(file, as_file, how))
            how = place
        return sent

    async def _send_file(self, file: Upload, as_file: bool, how: Json) -> Json:
        known = picture_size(file.data)
        if not as_file:
            if known and known[0] == "GIF":
                return await self._scene.send_animation(file.data, file.name, **how)
            if known and known[0] == "WEBP" and max(known[1:]) <= 512:
                return await self._scene.send_sticker(file.data, **{**how, "caption": ""})
            if file.mime_type.startswith("video/"):
                return await self._scene.send_video(file.data, file.name, **how)
            if file.mime_type == "audio/ogg":
                return await self._scene.send_voice(file.data, **how)
        return await self._scene.send_document(file.data, file.name, file.mime_type, **how)

    async def _edit(self, request: web.Request) -> web.StreamResponse:
        asked = await _json(request)
        try:
            text = str(asked["text"]).strip()
            message = self._scene.edit_text(int(asked["message_id"]), text[:4096]) if text else {}
        except (KeyError, TypeError, ValueError) as error:
            raise web.HTTPConflict(text=f"no such message: {error}") from error
        return web.json_response({"message_ids": [message["message_id"]] if message else []})

    async def _press(self, request: web.Request) -> web.StreamResponse:
        asked = await _json(request)
        try:
            state = self._scene.press(int(asked["message_id"]), str(asked["data"]))
        except (KeyError, TypeError, ValueError) as error:
            raise web.HTTPConflict(text=f"no such button: {error}") from error
        return web.json_response({"callback_query_id": state.query["id"]})

    async def _language(self, request: web.Request) -> web.StreamResponse:
        asked = await _json(request)
        language = str(asked.get("language", ""))
        if language not in ("ru", "en"):
            raise web.HTTPBadRequest(text="language: ru or en")
        self._scene.user(ME, language_code=language)
        self._scene.world.publish({"type": "bot"})
        return web.json_response({"language": language})

    async def _faults(self, request: web.Request) -> web.StreamResponse:
        """`{"method", "kind", "times", "retry_after"}`: see `Fault`; `{"clear": true}` takes all back."""
        asked = await _json(request)
        if asked.pop("clear", False):
            self._scene.faults.clear()
            return web.json_response({})
        try:
            self._scene.fail(**asked)
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.json_response({})

    async def _calls(self, _: web.Request) -> web.StreamResponse:
        calls = [
            {
                "method": call.method,
                "params": call.params,
                "status": call.status,
                "description": call.description,
            }
            for call in self._scene.calls
        ]
        return web.json_response({"calls": calls})


async def _json(request: web.Request) -> Json:
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text="a JSON object is expected") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="a JSON object is expected")
    return body

"""aiogram as the bot imports it, in a process of its own: here tests have built more of it."""

from __future__ import annotations

import subprocess
import sys

IMPORT = """
from pydantic import BaseModel
before = vars(BaseModel)["model_rebuild"]
from bot.common.telegram_types import import_aiogram
import_aiogram()
assert vars(BaseModel)["model_rebuild"] is before
from aiogram import methods, types
kinds = [getattr(room, name) for room in (types, methods) for name in room.__all__]
kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", IMPORT + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_bot_needs_is_built_and_little_else() -> None:
    built = python("print(*(kind.__name__ for kind in kinds if kind.__pydantic_complete__))").split()
    assert {"Update", "Message", "SendMessage"} <= set(built)
    # Of methods, those that name no type are built with their classes.
    assert len(built) < 150
    assert not {"Chat", "User", "CallbackQuery", "PhotoSize"} & set(built)


def test_every_other_type_is_whole_when_it_is_used() -> None:
    python("""
for kind in kinds:
    kind.model_rebuild()
    assert kind.__pydantic_complete__, kind
""")


def test_an_answer_holds_the_types_within_it() -> None:
    told = python("""
from aiogram.methods.base import Response
person = {"id": 2, "is_bot": False, "first_name": "Анна"}
member = Response[types.ResultChatMemberUnion].model_validate(
    {"ok": True, "result": {"status": "administrator", "user": person, "can_be_edited": False} | {
        name: True for name, field in types.ChatMemberAdministrator.model_fields.items()
        if field.is_required() and name.startswith(("can_", "is_"))
    }}
).result
print(type(member).__name__, type(member.user).__name__)
photo = {"file_id": "a", "file_unique_id": "b", "width": 3, "height": 4}
message = {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}, "photo": [photo]}
sent = Response[types.Message].model_validate({"ok": True, "result": message}).result
print(type(sent).__name__, type(sent.chat).__name__, type(sent.photo[0]).__name__)
""")
    assert told.splitlines() == ["ChatMemberAdministrator User", "Message Chat PhotoSize"]

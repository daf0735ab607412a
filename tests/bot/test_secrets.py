"""No secret of the bot's settings reaches a log, by any command."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from bot.config import Settings, load_settings
from inference.common.logs import Redactor, secrets_in_environment

TOKEN = f"123456789:{'Ab-_' * 9}"

HIDDEN = {
    "BOT_TOKEN": (TOKEN, TOKEN),
    "BOT_API_URL": ("https://operator:pa55-api-w0rd@api.example.org", "pa55-api-w0rd"),
    "WEBHOOK_URL": ("https://proxy:pa55-hook-w0rd@example.org/meme", "pa55-hook-w0rd"),
    "WEBHOOK_SECRET": ("s3cret_of-the-webhook", "s3cret_of-the-webhook"),
    "DATABASE_URL": ("postgresql+asyncpg://bot:pa55%2Fdb%40w0rd@127.0.0.1:9/base", "pa55/db@w0rd"),
    "ENGINE_URL": ("http://bot:pa55-engine-w0rd@127.0.0.1:9", "pa55-engine-w0rd"),
    "ENGINE_API_KEY": ("key-of-the-engine", "key-of-the-engine"),
    "VK_TOKEN": ("vk1.a.abcdefgh", "vk1.a.abcdefgh"),
    "HF_TOKEN": ("hf_abcdefgh", "hf_abcdefgh"),
    "OPERATOR_PASSWORD": ("pa55word of the operator", "pa55word of the operator"),
    "SENTRY_DSN": ("https://0123456789abcdef@sentry.example.org/7", "0123456789abcdef"),
    "OPENAI_API_KEY": ("sk-of-a-server", "sk-of-a-server"),
}


def test_every_setting_that_holds_a_secret_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new setting of this kind must be written into the table above, or this fails."""
    for name, (value, _) in HIDDEN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for name, field in Settings.model_fields.items():
        if "SecretStr" in str(field.annotation) or name.endswith("_url"):
            assert name.upper() in HIDDEN, name
    settings = load_settings()
    redact = Redactor([*settings.secrets, *secrets_in_environment(os.environ)])
    for name, (value, secret) in HIDDEN.items():
        for way in (value, secret, quote(secret, safe=""), f"Authorization: Bearer {secret}"):
            assert secret not in redact(way) and secret not in unquote(redact(way)), name
    for pair in ("operator:pa55-api-w0rd", "bot:pa55-engine-w0rd", "proxy:pa55-hook-w0rd"):
        assert b64encode(pair.encode()).decode() not in redact(f"Basic {b64encode(pair.encode()).decode()}")


@pytest.mark.parametrize("command", [["run"], ["stats"]])
def test_no_command_tells_a_secret(tmp_path: Path, command: list[str]) -> None:
    """The database's server is not there, nor is the engine's: both are spoken of."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *command],
        env={
            "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3]), "LOG_LEVEL": "DEBUG",
            **{name: value for name, (value, _) in HIDDEN.items()},
        },
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "cannot be" in said
    for name, (value, secret) in HIDDEN.items():
        assert secret not in unquote(said), name
        assert value not in said, name

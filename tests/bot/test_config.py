"""Settings from the environment, from .env, and the example that documents them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.config import OperatorError, Settings, doubts, load_settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
TOKEN = f"123456:{'A' * 35}"


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of this machine and no .env of the developer's."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_example_documents_every_setting_with_its_default(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    documented = re.findall(r"^([A-Z_]+)=", text, re.MULTILINE)
    assert sorted(documented) == sorted(name.upper() for name in Settings.model_fields)
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    assert load_settings() == load_settings(_env_file=None)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(f"BOT_TOKEN={TOKEN}\nMODEL=one\nADMIN_IDS=1, 2,3\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("MODEL", "two")
    settings = load_settings()
    assert settings.model == "two"
    assert settings.admin_ids == {1, 2, 3}
    assert settings.log_level == "DEBUG"
    assert settings.bot_token is not None
    assert settings.bot_token.get_secret_value() == TOKEN
    assert TOKEN not in repr(settings)


def test_an_empty_token_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "  ")
    assert load_settings().bot_token is None


def test_what_cannot_be_used_is_named_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "my secret token")
    monkeypatch.setenv("ADMIN_IDS", "me")
    monkeypatch.setenv("BOT_API_URL", "example.org")
    monkeypatch.setenv("QUEUE_SIZE", "0")
    with pytest.raises(OperatorError) as caught:
        load_settings()
    for name in ("BOT_TOKEN", "ADMIN_IDS", "BOT_API_URL", "QUEUE_SIZE", ".env.example"):
        assert name in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["MAX_FILE_MB", "PICTURE_MEMORY_MB"])
@pytest.mark.parametrize("value", ["inf", "1e308", "nan", "0"])
def test_a_size_that_no_memory_has_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(OperatorError, match=name):
        load_settings(_env_file=None)


def test_settings_that_are_no_utf_8_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an editor of Windows saves them."""
    (tmp_path / ".env").write_bytes(f"# Мой бот\nBOT_TOKEN={TOKEN}\n".encode("cp1251"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OperatorError, match=r"^The settings in \.env cannot be read .*as UTF-8") as caught:
        load_settings()
    assert TOKEN not in str(caught.value)


def test_a_mark_of_an_editor_before_the_first_setting_hides_nothing(tmp_path: Path) -> None:
    """As the Notepad of Windows writes it."""
    (tmp_path / ".env").write_text("ADMIN_IDS=7\n", encoding="utf-8-sig")
    assert load_settings().admin_ids == {7}
    assert doubts() == []


def test_a_setting_that_is_misspelt_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    lines = [f"BOT_TOKEN={TOKEN}", "# The operator", "ADMIN_ID=1", "export modeldir=x", "", "OPENAI_KEY=k"]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert [re.sub(r" sets (\w+),.* did you mean", r" \1:", one) for one in doubts()] == [
        "Line 3 of .env ADMIN_ID: ADMIN_IDS?",
        "Line 4 of .env modeldir: MODELS_DIR?",
        "Line 6 of .env OPENAI_KEY: OPENAI_API_KEY?",
    ]


def test_a_line_that_sets_nothing_is_told_without_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"LANGUAGE=en\n{TOKEN}\nBOT_TOKEN {TOKEN}\nBOT_TOKEN: {TOKEN}\n")
    assert doubts() == [f"Line {line} of .env sets nothing: write it as NAME=value." for line in (2, 3, 4)]


def test_what_stands_in_the_file_for_other_programs_is_no_doubt(tmp_path: Path) -> None:
    others = ("COMPOSE_PROJECT_NAME", "HF_TOKEN", "HF_HOME", "POSTGRES_USER", "HTTPS_PROXY", "TZ", "LANG")
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in others))
    assert doubts() == []


def test_what_is_missing_is_looked_for_under_a_misspelt_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WEBHOOK_URL=https://example.org\nWEBHOOK_SECRT=aaaaaaaaaaaaaaaaaaaa\n")
    with pytest.raises(OperatorError, match=r"Line 2 of \.env .*did you mean WEBHOOK_SECRET\?$"):
        load_settings()


def test_operators_that_are_no_numbers_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_IDS", "@anna, boris")
    with pytest.raises(OperatorError) as caught:
        load_settings()
    assert str(caught.value).count("ADMIN_IDS") == 1
    assert "numbers separated by commas" in str(caught.value)


def test_a_slash_at_the_end_of_the_address_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_API_URL", "http://127.0.0.1:8081/")
    assert load_settings().bot_api_url == "http://127.0.0.1:8081"


def test_the_secrets_are_known_to_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://bot:pa55@db/bot")
    assert load_settings().secrets == (TOKEN, "pa55")

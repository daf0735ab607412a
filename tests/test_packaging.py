"""What the files around the code promise: Docker, Compose, .env.example, constraints, extras, Makefile."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from prometheus_client import CollectorRegistry

from bot.config import Settings, load_settings
from bot.operating.probes import Pulse, probes
from inference.common import settings_file
from inference.common.extras import MODULES, Extra

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NAMES = {name.upper() for name in Settings.model_fields}


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def instructions(*wanted: str, stage: str = "") -> list[str]:
    """The arguments of these instructions of the Dockerfile, continued lines joined, in order: of one stage
    and of those that it is made from, or of all."""
    text = read("Dockerfile").replace("\\\n", " ")
    within = ""
    stages: dict[str, list[str]] = {"": []}  # each with those of the stage it is made from
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, rest = line.split(maxsplit=1)
        if name == "FROM":
            base, _, within = rest.split()
            stages[within] = list(stages.get(base, ()))
        for known in {"", within}:
            stages[known] += [" ".join(rest.split())] if name in wanted else []
    return stages[stage]


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service() -> dict[str, Any]:
    bot: dict[str, Any] = yaml.safe_load(read("compose.yaml"))["services"]["bot"]
    return bot


# --- .env.example ---


def example() -> dict[str, str]:
    pairs = re.findall(r"^([A-Z_]+)=(.*)$", read(".env.example"), re.MULTILINE)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_env_example_names_every_setting_and_shows_its_default(no_environment: None) -> None:
    assert set(example()) == NAMES
    shown = load_settings(_env_file=ROOT / ".env.example")
    assert shown == load_settings(_env_file=None)
    # An empty line means the default too, but only where there is no value that could be shown.
    for name, value in example().items():
        assert bool(value) != (Settings.model_fields[name.lower()].default in (None, "", frozenset())), name


def test_every_name_of_env_example_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a newcomer who uses one would be asked whether another was meant."""
    names = set(re.findall(r"^(?:# )?([A-Z_]+)=", read(".env.example"), re.MULTILINE))
    assert names == NAMES | settings_file.NAMES
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in names))
    monkeypatch.chdir(tmp_path)
    # The service knows its own names alone.
    assert list(settings_file.doubts(settings_file.NAMES)) == []


def test_env_example_says_something_about_every_setting() -> None:
    for paragraph in read(".env.example").split("\n\n")[1:]:
        lines = paragraph.splitlines()
        for number, line in enumerate(lines):
            if re.match(r"[A-Z_]+=", line):
                said = [above for above in lines[:number] if above.startswith("#") and "---" not in above]
                assert said, f"{line} has no comment above it"


# --- constraints.txt ---


def test_constraints_pin_every_direct_dependency_within_its_range() -> None:
    pins = {}
    for line in read("constraints.txt").splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    project = PROJECT["project"]
    asked = project["dependencies"] + [
        one for many in project["optional-dependencies"].values() for one in many
    ]
    for text in asked:
        requirement = Requirement(text)
        if requirement.name == project["name"]:  # an extra that holds another
            assert requirement.extras <= set(project["optional-dependencies"])
            continue
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} is not in constraints.txt"
        assert requirement.specifier.contains(pinned), f"{requirement} does not allow {pinned}"


# --- extras ---


def packages(extra: str) -> set[str]:
    """The names of all that an extra asks for beside the core."""
    found: set[str] = set()
    for text in PROJECT["project"]["optional-dependencies"][extra]:
        requirement = Requirement(text)
        within = requirement.name == PROJECT["project"]["name"]
        found |= (
            {one for name in requirement.extras for one in packages(name)} if within else {requirement.name}
        )
    return {canonicalize_name(name) for name in found}


@pytest.mark.parametrize("extra", MODULES)
def test_an_extra_is_known_by_what_it_alone_installs(extra: Extra) -> None:
    core = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
    brought = packages(extra)
    assert not brought & core
    assert {canonicalize_name(module) for module in MODULES[extra]} - {"starlette"} <= brought  # Ray's own


def test_the_extra_of_the_tests_holds_all_but_ray() -> None:
    others = set(PROJECT["project"]["optional-dependencies"]) - {"dev", "serve"}
    assert packages("dev") >= {one for extra in others for one in packages(extra)}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("run", ["--no-compile -e ."]),
        ("models", ["--no-compile torch torchvision", "--no-compile -e '.[models]'"]),
        ("train", ["--no-compile torch torchvision", "--no-compile -e '.[train]'"]),
        ("test", ["--no-compile torch torchvision", "--no-compile -e '.[dev]'"]),
    ],
)
def test_make_installs_what_its_target_needs(target: str, expected: list[str], tmp_path: Path) -> None:
    """PyTorch by itself: pip keeps every archive until all are unpacked."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    done = subprocess.run(
        ["make", "--dry-run", target, f"VENV={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    installs = [
        line.partition(" -c constraints.txt ")[2] for line in done.stdout.splitlines() if " pip " in line
    ]
    assert installs == expected


# --- Docker ---


def test_the_image_has_a_python_the_project_is_checked_with() -> None:
    version = next(line.removeprefix("PYTHON=") for line in instructions("ARG") if line.startswith("PYTHON="))
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version)
    assert PROJECT["tool"]["mypy"]["python_version"] == version
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{version.replace('.', '')}"
    assert {line.split()[0] for line in instructions("FROM")} == {
        "python:${PYTHON}-slim-bookworm",
        "slim-packages",
        "service",
        "scratch",
    }


def test_the_image_is_installed_as_make_installs_it() -> None:
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert all("-c constraints.txt" in install and "://" not in install for install in installs)
    extras = [set(found.split(",")) for found in re.findall(r"'\.\[([\w,]+)\]'", " ".join(installs))]
    assert extras == [
        {"postgres", "sentry"},
        {"postgres", "sentry", "train"},
    ]  # of the slim one and of the full one
    assert 'PIP_EXTRA_INDEX_URL=""' in instructions("ARG", stage="full-packages")
    # Everything comes from wheels: neither the image nor `make run` needs a package of the system.
    assert not [line for line in instructions("RUN") if "apt-get" in line]
    run = re.search(r"^run:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert run is not None
    assert "system-packages" not in run[1]


@pytest.mark.parametrize("target", ["slim", "full"])
def test_each_image_has_its_packages_and_the_program(target: str) -> None:
    copies = [line.split() for line in instructions("COPY", stage=target)]
    assert copies == [
        [f"--from={target}-packages", "/opt/venv", "/opt/venv"],
        ["--from=program", "/", "/app/"],
    ]
    assert instructions("USER", stage=target) == ["bot"]
    assert len(instructions("CMD", "HEALTHCHECK", "VOLUME", "EXPOSE", stage=target)) == 4


def test_the_image_holds_the_code_and_the_default_model(no_environment: None) -> None:
    sources = [line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from")]
    copied = {source for group in sources for source in group}
    settings = load_settings(_env_file=None)
    program = {line.split()[0] for line in instructions("COPY", stage="program")}
    assert {"bot", "inference", f"{settings.models_dir}/{settings.model}"} <= program
    ignore = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert ignore[0] == "*"
    assert {line[1:] for line in ignore if line.startswith("!")} == copied | {"checkpoints"}
    for name in copied:
        assert (ROOT / name).exists(), name


def test_the_container_is_not_root_and_starts_the_bot() -> None:
    (command,) = instructions("CMD")
    assert json.loads(command) == ["python", "-m", "bot", "run"]
    (volume,) = instructions("VOLUME")
    assert (
        volume == f"{instructions('WORKDIR', stage='slim')[-1]}/{Settings.model_fields['data_dir'].default}"
    )
    variables = dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))
    assert {name for name in variables if not name.startswith(("PIP_", "PYTHON"))} <= NAMES | {"PATH"}


@pytest.mark.parametrize("alive", [True, False])
async def test_the_health_check_asks_the_bot(
    alive: bool, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of the Dockerfile, run against a bot that is not ready, but alive."""
    (check,) = instructions("HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert command[0] == "python"
    environment = os.environ | {"HEALTH_PORT": str(unused_tcp_port)}
    if not alive:
        monkeypatch.setattr("bot.operating.probes.ALIVE_WITHIN", 0.0)
    pulse = Pulse(lambda: (False, {}), lambda _: None)
    async with probes("127.0.0.1", unused_tcp_port, pulse, CollectorRegistry()):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, *command[1:]],
            env=environment,
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode == 0) is alive, done.stderr


def test_compose_sets_only_what_the_bot_knows(service: dict[str, Any], no_environment: None) -> None:
    environment = service["environment"]
    assert set(environment) <= NAMES
    settings = load_settings(_env_file=None, **{name.lower(): value for name, value in environment.items()})
    assert settings.health_port, "the HEALTHCHECK needs the endpoint"
    (exposed,) = instructions("EXPOSE")
    outside = [settings.sandbox_port, settings.webhook_port]
    assert [int(port) for port in exposed.split()] == outside
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in outside]
    assert settings.sandbox_host == settings.webhook_host == "0.0.0.0"
    assert len({*outside, settings.health_port}) == 3
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > settings.drain_seconds, "or Docker kills what the bot is finishing"


def test_compose_keeps_the_data_and_restarts(service: dict[str, Any]) -> None:
    compose = yaml.safe_load(read("compose.yaml"))
    (volume,) = instructions("VOLUME")
    assert f"data:{volume}" in service["volumes"]
    assert "data" in compose["volumes"]
    assert service["restart"] == "unless-stopped"
    assert service["env_file"] == [{"path": ".env", "required": False}]
    assert set(service["build"]["args"]) <= {line.split("=")[0] for line in instructions("ARG")}
    assert service["build"]["target"] == "${BUILD_TARGET:-slim}"
    postgres = compose["services"]["postgres"]
    assert postgres["profiles"] == ["postgres"]
    assert postgres["healthcheck"]["test"][1] == "pg_isready"
    assert not service["depends_on"]["postgres"]["required"]


def test_compose_and_env_example_agree_on_postgresql() -> None:
    compose = read("compose.yaml")
    offered = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", read(".env.example"), re.MULTILINE))
    asked = set(re.findall(r"\$\{([A-Z_]+):-\w*\}", compose))
    assert asked <= set(offered), "what compose.yaml takes from .env is in .env.example"
    server = yaml.safe_load(compose)["services"]["postgres"]["environment"]
    address = re.fullmatch(r"postgresql\+asyncpg://(\w+):\w+@(\w+)/(\w+)", offered["DATABASE_URL"])
    assert address is not None
    assert address.groups() == (server["POSTGRES_USER"], "postgres", server["POSTGRES_DB"])

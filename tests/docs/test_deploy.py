"""The files that deploy the bot: they parse, fit together, name settings that exist, and give few rights."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.config import Settings, load_settings
from tests.docs.pages import ROOT

DEPLOY = ROOT / "docs" / "deploy"
BASE, RAY = DEPLOY / "kubernetes" / "base", DEPLOY / "kubernetes" / "ray"
NAMES = {name.upper() for name in Settings.model_fields}
OTHERS = {"SERVE_API_KEYS", "HOME", "PYTHONDONTWRITEBYTECODE"}  # of the service, of Ray, of Python


def documents(folder: Path) -> list[dict[str, Any]]:
    """Everything that a kustomization lists."""
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    files = [folder / name for name in listed if name.endswith(".yaml")]
    return [one for file in files for one in yaml.safe_load_all(file.read_text("utf-8"))]


def pods(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods that a document asks for."""
    spec = document["spec"]
    if document["kind"] == "Deployment":
        return [spec["template"]["spec"]]
    if document["kind"] == "RayCluster":
        groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
        return [group["template"]["spec"] for group in groups]
    return []


def literals() -> dict[str, str]:
    (config,) = yaml.safe_load((BASE / "kustomization.yaml").read_text("utf-8"))["configMapGenerator"]
    return dict(one.split("=", 1) for one in config["literals"])


@pytest.mark.parametrize("folder", [BASE, RAY], ids=["base", "ray"])
def test_settings_that_manifests_name_exist_and_pods_have_few_rights(folder: Path) -> None:
    found = documents(folder)
    assert found
    for document in found:
        assert document["apiVersion"] and document["metadata"]["name"]
        for pod in pods(document):
            assert pod["securityContext"]["runAsNonRoot"] is True
            (container,) = pod["containers"]
            names = {variable["name"] for variable in container.get("env", ())}
            assert names <= NAMES | OTHERS, names
            assert container["resources"]["limits"]["memory"]
            if document["kind"] == "Deployment":
                rights = container["securityContext"]
                assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
                assert rights["capabilities"] == {"drop": ["ALL"]}
                mounted = {mount["name"] for mount in container["volumeMounts"]}
                assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_bots_of_the_manifests_are_settings_that_the_bot_takes() -> None:
    told = literals()
    assert set(told) <= NAMES
    secret = "database_url", "postgresql+asyncpg://bot:password@base/bot"
    given = {name.lower(): value for name, value in told.items()} | dict([secret])
    settings = load_settings(_env_file=None, webhook_secret="s" * 16, **given)
    found = {(one["kind"], one["metadata"]["name"]): one for one in documents(BASE)}
    deployed = found["Deployment", "meme-bot"]
    assert deployed["spec"]["replicas"] == settings.bot_replicas
    (pod,) = pods(deployed)
    assert pod["terminationGracePeriodSeconds"] > settings.drain_seconds
    (bot,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in bot["ports"]}
    assert ports == {"webhook": settings.webhook_port, "health": settings.health_port}
    paths = {name: bot[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    # What Telegram posts to leads to the bot, and the bot's engine is the one that is deployed.
    (rule,) = found["Ingress", "meme-bot"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert settings.webhook_url == f"https://{rule['host']}{path['path']}"
    (port,) = found["Service", "meme-engine"]["spec"]["ports"]
    assert settings.engine_url == f"http://meme-engine:{port['port']}"


def test_the_unit_is_one_that_systemd_reads(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "meme-bot.service").read_text("utf-8")
    names = set(re.findall(r"(?:^Environment=| )([A-Z_]+)=", text, re.MULTILINE))
    assert names <= NAMES | OTHERS, names
    unit = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's way of leaving names as they are
    unit.read_string(text)
    service = unit["Service"]
    assert int(service["TimeoutStopSec"]) > Settings.model_fields["drain_seconds"].default
    assert service["ExecStart"].endswith("/python -m bot run")
    assert service["ProtectSystem"] == "strict" and service["NoNewPrivileges"] == "yes"
    checker = shutil.which("systemd-analyze")
    if checker is None:
        return
    # Its own program need not be there where this is checked.
    copy = tmp_path / "meme-bot.service"
    copy.write_text(text.replace("/opt/meme-bot/.venv/bin/python", sys.executable), "utf-8")
    done = subprocess.run([checker, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_compose_gives_the_bot_few_rights() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["bot"]
    assert service["read_only"] is True and service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    unit = (DEPLOY / "systemd" / "meme-bot.service").read_text("utf-8")
    assert f"MemoryMax={service['mem_limit'].upper()}" in unit
    assert f"TasksMax={service['pids_limit']}" in unit

"""Every secret that a server is told, planted where it belongs and looked for in all that the server tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from click.testing import CliRunner
from emulators.pinecone import Emulator
from emulators.qdrant_server import QdrantEmulator
from secured.keys import KeyFile
from secured.requests import REQUESTS
from secured.serving import Root, TlsFolder, credentials

from vecgate_server.command import main
from vecgate_server.config import load_settings
from vecgate_server.config_backends import with_backend_defaults

MARK = "PLANTED"
QDRANT_KEY, PINECONE_KEY, HUB_TOKEN = f"{MARK}-qdrant", f"{MARK}-pinecone", f"{MARK}-hub"
ENVIRONMENT = {
    "VECGATE_BACKENDS__QDRANT__OPTIONS__API_KEY": QDRANT_KEY,
    "VECGATE_BACKENDS__PINECONE__OPTIONS__API_KEY": PINECONE_KEY,
    "HF_TOKEN": HUB_TOKEN,
}


@pytest.fixture
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def settings(tmp_path: Path, _planted: None) -> Iterator[dict[str, Any]]:
    keys = KeyFile(tmp_path / "keys.yaml", {"root": {"scope": "admin"}})
    tls = TlsFolder(tmp_path, trustme.CA())
    qdrant = QdrantEmulator(api_key=QDRANT_KEY)
    with Emulator() as pinecone:
        pinecone.project(PINECONE_KEY)
        yield {
            "security": {"tls": tls.settings, "keys_file": str(keys.path)},
            "backends": {
                "qdrant": {"kind": "qdrant", "options": {"host": "127.0.0.1", "grpc_port": qdrant.port}},
                "pinecone": {"kind": "pinecone", "options": {"controller_url": pinecone.url}},
            },
            "models": {"preload": [], "default": "nobody/absent", "available": [{"name": "nobody/absent"}]},
            "encoder": {"hub_endpoint": "http://127.0.0.1:9"},
            "telemetry": {"log_level": "debug", "log_format": "json"},
            "test": (keys, tls),
        }
    qdrant.stop()


def key_lines(tls: TlsFolder) -> list[str]:
    """Return some lines of the private key."""
    return (tls.folder / "tls.key").read_text().splitlines()[1:3]


def run(*words: str, **variables: str) -> str:
    """Run a command of the server, and return all that it prints."""
    done = CliRunner().invoke(main, words, env=variables)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.output


def test_a_server_that_works_and_one_that_meets_faults_tell_no_secret(
    settings: dict[str, Any], start_server: Any
) -> None:
    keys, tls = settings.pop("test")
    server = start_server(settings)
    with grpc.secure_channel(server.address, credentials(tls.authority, tls.authority)) as channel:
        root = Root(channel, keys)
        for backend in ("qdrant", "pinecone"):
            root.fill(f"of-{backend}", backend, [""])
        told = ""
        for method, request in (("Encode", {"model": "nobody/absent"}), ("GetServerInfo", {}), ("ListModels", {})):
            told += _answer(root, method, request)
    assert server.stop() == 0
    log = server.log.read_text()
    assert "DEBUG" in log.upper()
    assert not keys.secrets_in(log + told)
    for secret in (MARK, *key_lines(tls)):
        assert secret not in log + told
    assert "nobody/absent" in told


def _answer(root: Root, method: str, fields: dict[str, str]) -> str:
    request = REQUESTS[method]("", "")
    for name, value in fields.items():
        setattr(request, name, value)
    try:
        return str(root.call(method, request))
    except grpc.RpcError as refused:
        return f"{refused.details()} {refused.trailing_metadata()}"


def test_the_settings_are_shown_without_secrets(settings: dict[str, Any], tmp_path: Path) -> None:
    _, tls = settings.pop("test")
    file = tmp_path / "settings.yaml"
    settings["backends"]["pinecone"]["options"]["api_key_file"] = None
    file.write_text(json.dumps(settings))
    printed = run("check-config", "--config", str(file))
    loaded = load_settings(file)
    shown = [printed, str(with_backend_defaults(loaded)), repr(with_backend_defaults(loaded).backends)]
    assert "pinecone" in printed
    assert printed.count("**********") == 2
    for secret in (MARK, *key_lines(tls)):
        assert not [text for text in shown if secret in text]


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        ({"qdrant": {"prt": 1}}, {}),
        ({"qdrant": {"port": "high"}}, {}),
        ({"qdrant": {"host": "a", "url": "https://b"}}, {}),
        ({"pinecone": {"api_key_file": "/nowhere"}}, {}),
        ({"pinecone": {"api_key": f"{MARK} with spaces"}}, {}),
        ({"qdrant": {"api_key": [f"{MARK}-list"]}}, {}),
        ({"qdrant": {"api_key": {"of": f"{MARK}-mapping"}}}, {}),
        ({}, {"VECGATE_BACKENDS__QDRANT__OPTIONS": f'{{"api_key": "{MARK}'}),
        ({}, {"VECGATE_BACKENDS__QDRANT": f"{MARK}"}),
        ({}, {"VECGATE_SECURITY__KEYS_FILE": "/nowhere/keys"}),
    ],
)
def test_a_wrong_setting_beside_a_secret_is_told_without_it(
    options: dict[str, dict[str, Any]], variables: dict[str, str], tmp_path: Path
) -> None:
    given = {"qdrant": {"host": "127.0.0.1"}, "pinecone": {}}
    backends = {kind: {"kind": kind, "options": given[kind] | options.get(kind, {})} for kind in given}
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps({"backends": backends, "models": {"preload": []}}))
    for command in (["check-config"], ["keys", "list"]):
        assert MARK not in run(*command, "--config", str(file), **(ENVIRONMENT | variables))

"""Settings: the file, the environment over it, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from vecgate_server.config import load_settings, settings_text
from vecgate_server.config_backends import backend_options, with_backend_defaults
from vecgate_server.config_faults import InvalidSettingsError, closest


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("VECGATE_"):
            monkeypatch.delenv(name)


def written(folder: Path, text: str) -> Path:
    path = folder / "vecgate.yaml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "# nothing yet\n")) == load_settings(None)


def test_a_section_whose_every_key_is_a_comment_is_the_defaults(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "server:\n  # port: 1\nbackends:\n")) == load_settings(None)


def test_an_unknown_section_is_refused_though_it_is_empty(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match="did you mean 'server'"):
        load_settings(written(tmp_path, "servr:\n"))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "CPU"])
def test_a_device_that_there_is_not_is_refused_before_a_model_meets_it(device: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"^encoder\.device: "):
        load_settings(written(tmp_path, f"encoder: {{device: '{device}'}}"))


def test_a_variable_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "server: {port: 1, shutdown_grace_seconds: 3}")
    monkeypatch.setenv("VECGATE_SERVER__PORT", "2")
    server = load_settings(path).server
    assert (server.port, server.shutdown_grace_seconds) == (2, 3)


def test_a_list_in_a_variable_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECGATE_MODELS__PRELOAD", '["all-mpnet-base-v2"]')
    assert load_settings(None).models.preloaded == ("all-mpnet-base-v2",)


def test_a_variable_reaches_an_option_of_the_default_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECGATE_BACKENDS__FAISS__OPTIONS__SEAL_THRESHOLD", "99")
    _, options = backend_options("faiss", load_settings(None).backends["faiss"])
    assert (options.seal_threshold, options.path) == (99, Path("vecgate-data"))


def test_nothing_is_preloaded_only_when_it_is_said(tmp_path: Path) -> None:
    assert load_settings(None).models.preloaded == ("all-MiniLM-L6-v2",)
    assert load_settings(written(tmp_path, "models: {preload: []}")).models.preloaded == ()


def test_the_first_backend_is_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, "backends: {b: {kind: memory}, a: {kind: memory}}")
    assert load_settings(path).default_backend_name == "b"


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("VECGATE_SERVER__PROT", "1", r"^server\.prot: unknown key 'prot'; did you mean 'port'\?$"),
        ("VECGATE_SERVR__PORT", "1", r"VECGATE_SERVR__PORT: unknown key 'servr'; did you mean 'server'\?$"),
        ("VECGATE_DEFAULT_BACKND", "x", "did you mean 'default_backend'"),
        ("VECGATE_SERVER__PORT", "x", r"^server\.port: .* not 'x'$"),
        ("VECGATE_MODELS__PRELOAD", "[x", r"^models\.preload: must be a list, not '\[x'$"),
        ("VECGATE_SECURITY__TLS", "true", r"^security\.tls: must hold keys and values, not True$"),
        ("VECGATE_SERVER", "{", r"^environment variable VECGATE_SERVER: no valid JSON: .* column 2"),
        ("VECGATE_TELEMETRY__TRACES__HEADERS", '{"a": "secret"', r"TRACES__HEADERS: no valid JSON: (?!.*secret)"),
        ("VECGATE_SECURITY_KEYS_FILE", "k", r"_KEYS_FILE: two underscores .* as in VECGATE_SECURITY__KEYS_FILE$"),
        ("VECGATE_SECURITY_TLS_KEY", "k", r"each dot, as in VECGATE_SECURITY__TLS__KEY$"),
        ("vecgate_server_port", "1", r"as in VECGATE_SERVER__PORT$"),
        ("VECGATE_BACKENDS_Q_OPTIONS_API_KEY", "k", r"as in VECGATE_BACKENDS__QDRANT__OPTIONS__API_KEY$"),
    ],
)
def test_a_wrong_variable_is_refused(variable: str, value: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettingsError, match=fault) as refused:
        load_settings(None)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "variable",
    ["VECGATE_PORT", "VECGATE_SERVICE_HOST", "VECGATE_PORT_50051_TCP", "VECGATE_TARGET", "VECGATE_SERVER_PORT"],
)
def test_a_variable_of_others_is_left_alone(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "tcp://10.0.0.1:50051")
    assert load_settings(None).server.port == 50051


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_loopback_needs_no_permission(host: str, tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, f"server: {{host: '{host}'}}")).server.host == host


TLS = "tls: {certificate: c.pem, key: k.pem}"
MTLS = "tls: {certificate: c.pem, key: k.pem, client_ca: ca.pem}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "vecgate.example"])
@pytest.mark.parametrize(
    ("security", "lack"),
    [
        ("", "security.tls is not set.*neither security.keys_file nor security.tls.client_ca is set"),
        ("keys_file: keys.yaml", "security.tls is not set"),
        (TLS, "neither security.keys_file nor security.tls.client_ca is set"),
    ],
)
def test_an_open_listener_needs_permission(host: str, security: str, lack: str, tmp_path: Path) -> None:
    settings = f"security: {{{security}}}\nserver: {{host: '{host}'"
    with pytest.raises(InvalidSettingsError, match=f"{lack}.*allow_insecure"):
        load_settings(written(tmp_path, settings + "}"))
    allowed = load_settings(written(tmp_path, settings + ", allow_insecure: true}"))
    assert allowed.server.host == host


@pytest.mark.parametrize("security", [f"{TLS}, keys_file: keys.yaml", MTLS, f"{MTLS}, keys_file: keys.yaml"])
def test_a_listener_with_tls_and_keys_or_client_certificates_needs_none(security: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"security: {{{security}}}\nserver: {{host: 0.0.0.0}}")
    assert load_settings(path).server.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("tls", "fault"),
    [
        ("certificate: c.pem", "key is missing"),
        ("key: k.pem", "certificate is missing"),
        ("client_ca: ca.pem", "client_ca needs certificate and key"),
    ],
)
def test_the_files_of_tls_go_together(tls: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=rf"^security\.tls: {fault}"):
        load_settings(written(tmp_path, f"security: {{tls: {{{tls}}}}}"))


def test_more_than_one_fault_is_counted(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"\(and 1 more\)$"):
        load_settings(written(tmp_path, "limits: {max_batch: 0, max_top_k: 0}"))


def test_a_fault_inside_a_list_has_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, "models: {available: [{name: all-MiniLM-L6-v2}, {title: x}]}")
    with pytest.raises(InvalidSettingsError, match=r"^models\.available\[1\]\."):
        load_settings(path)


def test_settings_are_frozen() -> None:
    settings = load_settings(None)
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1


def test_printed_settings_load_as_the_same_settings(tmp_path: Path) -> None:
    effective = with_backend_defaults(load_settings(None))
    again = load_settings(written(tmp_path, settings_text(effective)))
    assert settings_text(with_backend_defaults(again)) == settings_text(effective)


@pytest.mark.parametrize(("word", "meant"), [("prot", "port"), ("ALL-MINILM-L6", "all-MiniLM-L6-v2"), ("zzz", "")])
def test_a_suggestion_keeps_the_spelling_of_the_known_word(word: str, meant: str) -> None:
    assert closest(word, ["port", "all-MiniLM-L6-v2"]) == (f"; did you mean {meant!r}?" if meant else "")


def test_metadata_for_the_collector_of_traces_comes_from_the_environment_and_is_never_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VECGATE_TELEMETRY__TRACES__HEADERS", '{"authorization": "Bearer secret"}')
    settings = load_settings(None)
    assert settings.telemetry.traces.headers["authorization"].get_secret_value() == "Bearer secret"
    assert "authorization" in settings_text(settings)
    assert "secret" not in settings_text(settings)
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "written", ["Bearer secret", "authorization=Bearer secret", '"Bearer secret"', '{"Key": "secret"}']
)
def test_metadata_for_the_collector_that_is_written_wrongly_is_refused_without_being_repeated(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECGATE_TELEMETRY__TRACES__HEADERS", written)
    with pytest.raises(InvalidSettingsError, match="telemetry") as refused:
        load_settings(None)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["collector:4317", "ftp://collector:4317", "http://"])
def test_an_endpoint_of_traces_that_is_no_address_is_refused(endpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "vecgate.yaml"
    file.write_text(f"telemetry: {{traces: {{endpoint: '{endpoint}'}}}}")
    with pytest.raises(InvalidSettingsError, match=r"^telemetry\.traces\.endpoint: .*http://HOST:4317"):
        load_settings(file)

"""`vecgate-server keys`: the file that it writes, and what it prints."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from vecgate_server.command import main
from vecgate_server.security.api_key import is_hash_of, key_id
from vecgate_server.security.keys_file import KeysFileError, read_keys


def keys(*words: str, **variables: str) -> Result:
    return CliRunner().invoke(main, ["keys", *words], env=variables)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def test_a_key_is_printed_once_and_only_its_hash_is_stored(file: Path) -> None:
    made = keys("create", "--file", str(file), "--scope", "write", "--description", "ingest")
    key = made.stdout.strip()
    (entry,) = read_keys(file).values()
    assert key_id(key) == entry.id
    assert is_hash_of(entry.hash, key)
    assert not is_hash_of(entry.hash, key[:-1])
    assert entry.hash.startswith("$argon2id$")
    secret = key.split("_", 2)[2]
    assert len(secret) == 43
    listed = keys("list", "--file", str(file)), keys("list", "--file", str(file), "--json")
    for told in (file.read_text(), made.stderr, *(each.output for each in listed)):
        assert entry.id in told
        assert secret not in told
    assert all(entry.hash not in each.output for each in listed)


def test_a_new_file_is_its_owner_s_alone_and_an_older_one_keeps_its_mode(file: Path) -> None:
    keys("create", "--file", str(file), "--scope", "read")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    keys("create", "--file", str(file), "--scope", "read")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_file_that_is_a_link_is_written_where_it_lies(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real.yaml"
    keys("create", "--file", str(real), "--scope", "read")
    file.symlink_to(real)
    keys("create", "--file", str(file), "--scope", "read")
    assert file.is_symlink()
    assert len(read_keys(real)) == 2


def test_all_rights_are_written_and_read_back(file: Path) -> None:
    words = ["--collection", "docs", "--collection", "team-*", "--namespace", "", "--expires", "90d"]
    words += ["--max-calls", "3", "--requests-per-second", "1.5", "--tokens-per-second", "2000000"]
    assert keys("create", "--file", str(file), "--scope", "read", *words).exit_code == 0
    listed = keys("list", "--file", str(file)).stdout
    assert (
        "read, collections docs, team-*, namespace '', 3 calls at once, 1.5 requests a second, 2000000 tokens a second"
        in listed
    )
    (entry,) = read_keys(file).values()
    caller = entry.caller()
    assert ("docs" in caller.collections, "team-red" in caller.collections, "other" in caller.collections) == (
        True,
        True,
        False,
    )
    assert (caller.namespace, caller.max_calls, caller.requests_per_second, caller.tokens_per_second) == (
        "",
        3,
        1.5,
        2_000_000,
    )
    assert entry.expires is not None
    assert timedelta(days=89) < entry.expires - datetime.now(UTC) <= timedelta(days=90)


def test_a_revoked_key_keeps_its_entry(file: Path) -> None:
    identifiers = [key_id(keys("create", "--file", str(file), "--scope", "read").stdout.strip()) for _ in range(2)]
    revoked, other = map(str, identifiers)
    assert keys("revoke", "--file", str(file), revoked).exit_code == 0
    states = {
        row["id"]: row["state"]
        for row in map(json.loads, keys("list", "--file", str(file), "--json").stdout.splitlines())
    }
    assert states == {revoked: "revoked", other: "active"}
    before = read_keys(file)
    assert keys("revoke", "--file", str(file), other, "0000").exit_code == 2
    assert read_keys(file) == before
    keys("revoke", "--file", str(file), revoked)
    assert read_keys(file) == before


def test_a_key_is_revoked_by_the_whole_of_it_too_and_never_printed_again(file: Path) -> None:
    lost, other = (keys("create", "--file", str(file), "--scope", "read").stdout.strip() for _ in range(2))
    assert keys("revoke", "--file", str(file), lost).stdout == f"revoked: {key_id(lost)}\n"
    assert [entry.state for entry in read_keys(file).values()] == ["revoked", "active"]
    unknown = keys("revoke", "--file", str(file), f"vg_{'0' * 16}{other[19:]}")
    assert (unknown.exit_code, other[20:] in unknown.output) == (2, False)


def test_json_is_written_where_the_name_says_so(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys("create", "--file", str(file), "--scope", "read", "--description", "für Käse")
    (entry,) = json.loads(file.read_text())["keys"]
    assert entry["description"] == "für Käse"
    assert len(read_keys(file)) == 1


def test_the_file_is_that_of_the_settings_unless_one_is_named(file: Path, tmp_path: Path) -> None:
    settings = tmp_path / "vecgate.yaml"
    settings.write_text(f"security: {{keys_file: {file}}}")
    assert keys("create", "--config", str(settings), "--scope", "read").exit_code == 0
    assert keys("list", VECGATE_SECURITY__KEYS_FILE=str(file)).stdout.count("active") == 1
    nowhere = keys("list")
    assert (nowhere.exit_code, "--file names it" in nowhere.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--scope", "admin", "--namespace", "a"], "scope admin cannot be bound to a namespace"),
        (["--scope", "read", "--collection", "Docs"], "--collection: 'Docs' matches no collection"),
        (["--scope", "read", "--namespace", "é"], "--namespace: "),
        (["--scope", "read", "--max-calls", "0"], "--max-calls: "),
        (["--scope", "read", "--expires", "2020-01-01"], "'2020-01-01' is over"),
        (["--scope", "read", "--expires", "soon"], "'soon' is no time"),
        (["--scope", "all"], "'all' is not one of"),
        ([], "Missing option '--scope'"),
    ],
)
def test_wrong_rights_are_refused_before_anything_is_written(words: list[str], fault: str, file: Path) -> None:
    made = keys("create", "--file", str(file), *words)
    assert (made.exit_code, made.stdout) == (2, "")
    assert fault in made.stderr
    assert not file.exists()


GOOD = {
    "id": "0" * 16,
    "hash": "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA",
    "scope": "read",
    "created": "2026-01-01T00:00Z",
}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("keys: [", "line 1"),
        ("- a", "must hold keys and values"),
        ("{}", "keys: field required"),
        (yaml.safe_dump({"keys": [GOOD, GOOD]}), "two keys have one id"),
        (yaml.safe_dump({"keys": [GOOD | {"scpe": 1}]}), "did you mean 'scope'"),
        (yaml.safe_dump({"keys": [GOOD | {"hash": "vg_SECRET"}]}), "is no hash of Argon2"),
        (yaml.safe_dump({"keys": [GOOD | {"hash": GOOD["hash"].replace("2id", "2i")}]}), "is no hash of Argon2id"),
        (yaml.safe_dump({"keys": [GOOD | {"hash": GOOD["hash"].replace("m=8", "m=4194304")}]}), "takes more than"),
        (yaml.safe_dump({"keys": [GOOD | {"hash": GOOD["hash"].replace("p=1", "p=17")}]}), "or 16 lanes"),
        (yaml.safe_dump({"keys": [GOOD | {"id": "vg_SECRET"}]}), "keys"),
        (yaml.safe_dump({"keys": [GOOD | {"created": "2026-01-01T00:00"}]}), "timezone"),
        (yaml.safe_dump({"keys": [GOOD | {"collections": []}]}), "collections"),
        ("\xff", "UTF-8"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_repeats_nothing_secret(content: str, fault: str, file: Path) -> None:
    file.write_text(content, encoding="latin-1")
    with pytest.raises(KeysFileError, match=fault) as refused:
        read_keys(file)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "SECRET" not in str(refused.value)
    listed = keys("list", "--file", str(file))
    assert (listed.exit_code, len(listed.stderr.splitlines())) == (1, 1)


def test_three_who_make_keys_at_once_lose_none(file: Path) -> None:
    command = [sys.executable, "-m", "vecgate_server", "keys", "create", "--scope", "read", "--file", str(file)]
    made = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    printed = {each.communicate(timeout=60)[0].decode().strip() for each in made}
    assert {key_id(key) for key in printed} == read_keys(file).keys()
    assert len(printed) == 3

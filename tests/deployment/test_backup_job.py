"""The script of the nightly backup, on the store of a server that goes on serving."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.manifests import RESTORE, Manifest, of_kind, overlay
from vecgate import Client, Record
from vecgate_backends.faiss.verification import verify_store


def run_script(container: Manifest, **given: str) -> subprocess.CompletedProcess[str]:
    """Run the command of a container as it would, with other values in its variables."""
    assert given.keys() == {variable["name"] for variable in container["env"]}
    beside = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [*container["command"], *container["args"]],
        env=os.environ | given | {"PATH": beside},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def back_up(store: Path, backups: Path, keep: int = 3) -> subprocess.CompletedProcess[str]:
    (job,) = of_kind(overlay("faiss"), "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return run_script(container, STORE=str(store), BACKUPS=str(backups), KEEP=str(keep))


def restore(store: Path, backups: Path, backup: str = "") -> subprocess.CompletedProcess[str]:
    (container,) = yaml.safe_load(RESTORE.read_text())["spec"]["template"]["spec"]["containers"]
    return run_script(container, STORE=str(store), BACKUPS=str(backups), BACKUP=backup)


def serve(start_server: Any, store: Path) -> Any:
    faiss = {"faiss": {"kind": "faiss", "options": {"path": str(store)}}}
    return start_server({"backends": faiss, "models": {"preload": []}})


def fill(client: Client, count: int) -> None:
    client.create_collection("notes", dimension=2, exist_ok=True)
    client.upsert("notes", [Record(f"{number}", vector=[1.0, number]) for number in range(count)])


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """A volume with five older backups, and what a volume has besides."""
    folder = tmp_path / "backups"
    for day in range(1, 6):
        (folder / f"2026-01-0{day}T02-17-00Z").mkdir(parents=True)
    (folder / "lost+found").mkdir()
    return folder


def test_the_newest_backups_are_kept_and_the_new_one_is_sound(start_server: Any, tmp_path: Path, backups: Path) -> None:
    with Client(serve(start_server, tmp_path / "store").address) as client:
        fill(client, 10)
        done = back_up(tmp_path / "store", backups)
        assert done.returncode == 0, done.stderr
        assert client.count("notes") == 10
    *older, new = sorted(path.name for path in backups.iterdir() if path.name != "lost+found")
    assert older == ["2026-01-04T02-17-00Z", "2026-01-05T02-17-00Z"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", new)
    report = verify_store(backups / new)
    assert report.sound
    assert [sum(collection.records.values()) for collection in report.collections] == [10]
    assert (backups / "lost+found").exists()


def test_without_a_new_backup_no_old_one_goes(tmp_path: Path, backups: Path) -> None:
    before = sorted(backups.iterdir())
    done = back_up(tmp_path / "nowhere", backups)
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert sorted(backups.iterdir()) == before


def test_a_restore_waits_for_the_server_to_go_and_keeps_what_it_replaces(start_server: Any, tmp_path: Path) -> None:
    store, backups = tmp_path / "store", tmp_path / "backups"
    backups.mkdir()
    server = serve(start_server, store)
    with Client(server.address) as client:
        fill(client, 10)
        assert back_up(store, backups).returncode == 0
        fill(client, 20)
        refused = restore(store, backups)
        assert (refused.returncode, refused.stderr) == (1, f"a server has {store} open: scale it to 0 first\n")
        assert client.count("notes") == 20
    server.stop()
    done = restore(store, backups)
    assert done.returncode == 0, done.stderr
    with Client(serve(start_server, store).address) as client:
        assert client.count("notes") == 10
    (kept,) = tmp_path.glob("store.before-*Z")
    assert [sum(collection.records.values()) for collection in verify_store(kept).collections] == [20]


def test_a_backup_that_is_not_there_or_damaged_replaces_nothing(start_server: Any, tmp_path: Path) -> None:
    store, backups = tmp_path / "store", tmp_path / "backups"
    backups.mkdir()
    server = serve(start_server, store)
    with Client(server.address) as client:
        fill(client, 10)
        assert back_up(store, backups).returncode == 0
    server.stop()
    (backup,) = backups.iterdir()
    (records,) = backup.glob("collections/*/records.db")
    records.write_bytes(b"nonsense" * 512)
    assert restore(store, backups).returncode != 0
    assert restore(store, backups, "2000-01-01T00-00-00Z").returncode != 0
    assert [sum(collection.records.values()) for collection in verify_store(store).collections] == [10]

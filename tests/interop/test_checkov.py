"""Checkov (https://www.checkov.io) on the manifests, with every component, and on the Dockerfile."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from deployment.manifests import OVERLAYS, REPOSITORY, RESTORE, extended

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

SKIPPED = {
    "CKV_DOCKER_7": "The base image is named by an argument, whose default is a version; checkov reads the name of the argument.",
    "CKV_K8S_15": "Tags are versions and never move, and with IfNotPresent a pod starts while the registry is away.",
    "CKV_K8S_35": "The Qdrant backend takes its key from a variable; everything else that is secret is a file.",
    "CKV_K8S_43": "A digest is known only to whoever has built and pushed the image: `images` of their own overlay sets it.",
}
"""What checkov would have otherwise, and why not."""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run checkov once on everything: the check's id → what it is about."""
    checkov = REPOSITORY / ".venv-checkov/bin/checkov"
    if not checkov.exists():
        pytest.skip("checkov is not installed: make test-interop")
    folder = tmp_path_factory.mktemp("rendered")
    for name in OVERLAYS:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(extended(name)))
    (folder / "restore.yaml").write_text(RESTORE.read_text())
    (folder / "Dockerfile").write_text((REPOSITORY / "deploy/Dockerfile").read_text())
    options = ["--framework", "kubernetes", "dockerfile", "--skip-download", "--output", "json"]
    command = [str(checkov), "--directory", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, cwd=folder)
    assert done.returncode in {0, 1}, done.stderr
    reports = json.loads(done.stdout)
    assert {report["check_type"] for report in reports} == {"kubernetes", "dockerfile"}
    assert all(report["summary"]["parsing_errors"] == 0 for report in reports)
    assert all(report["summary"]["passed"] > 20 for report in reports)
    found = defaultdict(list)
    for report in reports:
        for failed in report["results"]["failed_checks"]:
            found[failed["check_id"]].append(
                f"{Path(failed['file_path']).name}: {failed['resource']}: {failed['check_name']}"
            )
    return found


def test_checkov_finds_nothing_that_is_not_explained(findings: dict[str, list[str]]) -> None:
    assert {check: places for check, places in findings.items() if check not in SKIPPED} == {}


def test_no_explanation_outlives_its_finding(findings: dict[str, list[str]]) -> None:
    assert sorted(set(SKIPPED) - set(findings)) == []

"""Notes about models that have no graph, so that not every start spends a minute on finding that out again."""

from __future__ import annotations

import json
import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

logger = logging.getLogger(__name__)

# Packages on whose versions it depends whether a graph can be made.
LIBRARIES = ("onnx", "onnxruntime", "sentence-transformers", "tokenizers", "torch", "transformers")


def installed_versions() -> dict[str, str]:
    """Tell the versions of LIBRARIES; a package that is not installed has none."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def note_failure(note: Path, reason: str) -> None:
    """Write why an export failed. A note that cannot be written is left out: the next start tries again.

    Args:
        note: the file; its name tells the model.
        reason: what the export said.
    """
    partial = note.with_suffix(".partial")
    try:
        partial.write_text(json.dumps({"reason": reason, "versions": installed_versions()}, indent=2), "utf-8")
        partial.replace(note)
    except OSError as error:
        logger.warning("%s cannot be written: %s", note, error)


def noted_failure(note: Path) -> str | None:
    """Return why an export failed with the packages that are installed now; None if there is no such note."""
    try:
        content = json.loads(note.read_text("utf-8"))
        if content["versions"] != installed_versions():
            return None
        return str(content["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be read: %s", note, error)
        return None

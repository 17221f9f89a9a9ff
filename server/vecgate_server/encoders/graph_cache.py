"""The served forms that this machine has made, kept by what they were made from."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock
from platformdirs import user_cache_path

from vecgate_server.encoders.export_process import REFUSED
from vecgate_server.encoders.failed_exports import note_failure, noted_failure
from vecgate_server.encoders.model_files import SETTINGS_SUFFIXES, modules_of, sha256_of, weight_files
from vecgate_server.encoders.served_form import (
    FORMAT,
    GRAPH_REVISION,
    ServedFormError,
    is_served_form,
    read_served_form,
)
from vecgate_server.encoders.settings import Precision

logger = logging.getLogger(__name__)

# A large model on a slow machine takes minutes; what takes longer hangs.
EXPORT_SECONDS = 1800


# Makes the served form of the model in the first directory, in the second, which is empty, in a precision.
Exporter = Callable[[Path, Path, Precision], None]


class NoServedFormError(ServedFormError):
    """A model has no served form, and will have none while neither it nor the libraries change."""


def export_in_child(model: Path, directory: Path, precision: Precision) -> None:
    """Make a served form in a child process, so that this one need not hold torch. Blocks.

    Args:
        model: a sentence-transformers model.
        directory: an existing, empty directory.
        precision: the class in which the graph is to compute.

    Raises:
        NoServedFormError: the form cannot be made of this model, or does not give what torch gives.
        ServedFormError: something else went wrong, such as a full disk.
    """
    command = [sys.executable, "-m", "vecgate_server.encoders.export_process", str(model), str(directory), precision]
    # Its standard input is never written to: when this process ends, it ends too.
    with (
        TemporaryFile("w+", encoding="utf-8", errors="replace") as words,
        subprocess.Popen(  # noqa: S603  # this package
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words
        ) as child,
    ):
        try:
            code = child.wait(EXPORT_SECONDS)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise ServedFormError(f"the export took more than {EXPORT_SECONDS} seconds") from error
        words.seek(0)
        lines = [line.strip() for line in words if line.strip()]
    if code != 0:
        logger.debug("the export ended with %d:\n%s", code, "\n".join(lines))
        fault = NoServedFormError if code == REFUSED else ServedFormError
        raise fault(f"the export ended with {code}: {lines[-1] if lines else 'no word'}")


def make_served_form(
    model: Path, directory: Path, precision: Precision = Precision.FP32, *, exporter: Exporter = export_in_child
) -> None:
    """Make the served form of a model as a new directory, which appears complete and checked or not at all. Blocks.

    Raises:
        ServedFormError: the form cannot be made.
        OSError: the directory exists and is not empty, or cannot be written.
    """
    partial = directory.with_name(f"{directory.name}.partial")
    # One may be there from a process that was killed.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        exporter(model, partial, precision)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def cached_form(
    model: Path,
    graph_directory: Path | None,
    precision: Precision = Precision.FP32,
    *,
    exporter: Exporter = export_in_child,
) -> Path:
    """Return the directory of a model's served form, making it at the first use. Blocks, then for a minute or so.

    An entry is named by everything that the form depends on, so it never goes stale; it appears in the cache whole or not
    at all, one process makes it while others wait, and a damaged one is made anew. Of a model that has no served form a
    note is kept beside, so it is refused at once until the model or the libraries change.

    Args:
        model: a sentence-transformers model.
        graph_directory: the cache; None means the user's.
        precision: the class in which the graph computes.
        exporter: makes a form that is not in the cache.

    Raises:
        ServedFormError: the form cannot be made or kept.
    """
    cache = graph_directory or user_cache_path("vecgate") / "graphs"
    try:
        entry = cache / _key(model, precision)
        if _is_sound(entry):
            return entry
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(entry.with_suffix(".lock")):
            # Another process may have made it meanwhile.
            if not _is_sound(entry):
                shutil.rmtree(entry, ignore_errors=True)
                _make_or_note(model, entry, precision, exporter)
    except (OSError, ValueError) as error:
        raise ServedFormError(f"the graph cannot be made or kept: {type(error).__name__}: {error}") from error
    return entry


def _make_or_note(model: Path, entry: Path, precision: Precision, exporter: Exporter) -> None:
    note = entry.with_suffix(".failed.json")
    reason = noted_failure(note)
    if reason is not None:
        raise NoServedFormError(f"{reason} (seen before; {note} keeps it from being tried again)")
    logger.info("making the %s graph of the model in %s, once; this takes a while", precision, model)
    try:
        make_served_form(model, entry, precision, exporter=exporter)
    except NoServedFormError as error:
        note_failure(note, str(error))
        raise
    note.unlink(missing_ok=True)


def _is_sound(entry: Path) -> bool:
    if not is_served_form(entry):
        return False
    try:
        read_served_form(entry)
    except ServedFormError as error:
        logger.warning("%s; it is made anew", error)
        return False
    return True


def _key(directory: Path, precision: Precision) -> str:
    """Hash all that a served form depends on, every file of the model and the precision: 64 hex digits."""
    modules = modules_of(directory)
    settings = {
        path
        for folder in {directory, *(module.directory for module in modules)}
        for path in folder.glob("*")  # a module without settings may have no directory
        if path.suffix in SETTINGS_SUFFIXES
    }
    weights = {path for module in modules for path in weight_files(module.directory)}
    files = {path.relative_to(directory).as_posix(): sha256_of(path) for path in settings | weights}
    return hashlib.sha256(json.dumps([FORMAT, GRAPH_REVISION, precision, files], sort_keys=True).encode()).hexdigest()

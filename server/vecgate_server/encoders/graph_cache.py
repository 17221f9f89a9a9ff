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

from vecgate_server.encoders.model_files import SETTINGS_SUFFIXES, modules_of, sha256_of, weight_files
from vecgate_server.encoders.served_form import FORMAT, ServedFormError, is_served_form, read_served_form

logger = logging.getLogger(__name__)

# A large model on a slow machine takes minutes; what takes longer hangs.
EXPORT_SECONDS = 1800


# Makes the served form of the model in the first directory, in the second, which is empty.
Exporter = Callable[[Path, Path], None]


def export_in_child(model: Path, directory: Path) -> None:
    """Make a served form in a child process, so that this one need not hold torch. Blocks.

    Args:
        model: a sentence-transformers model.
        directory: an existing, empty directory.

    Raises:
        ServedFormError: the form cannot be made, or its vectors are not torch's.
    """
    command = [sys.executable, "-m", "vecgate_server.encoders.export_process", str(model), str(directory)]
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
        raise ServedFormError(f"the export ended with {code}: {lines[-1] if lines else 'no word'}")


def make_served_form(model: Path, directory: Path, *, exporter: Exporter = export_in_child) -> None:
    """Make the served form of a model as a new directory, which appears complete and checked or not at all. Blocks.

    Raises:
        ServedFormError: the form cannot be made, or its vectors are not torch's.
        OSError: the directory exists and is not empty, or cannot be written.
    """
    partial = directory.with_name(f"{directory.name}.partial")
    # One may be there from a process that was killed.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        exporter(model, partial)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def cached_form(model: Path, graph_directory: Path | None, *, exporter: Exporter = export_in_child) -> Path:
    """Return the directory of a model's served form, making it at the first use. Blocks, then for a minute or so.

    An entry is named by everything that the form depends on, so it never goes stale; it appears in the cache whole or not
    at all, one process makes it while others wait, and a damaged one is made anew.

    Args:
        model: a sentence-transformers model.
        graph_directory: the cache; None means the user's.
        exporter: makes a form that is not in the cache.

    Raises:
        ServedFormError: the form cannot be made or kept.
    """
    cache = graph_directory or user_cache_path("vecgate") / "graphs"
    try:
        entry = cache / _key(model)
        if _is_sound(entry):
            return entry
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(entry.with_suffix(".lock")):
            # Another process may have made it meanwhile.
            if not _is_sound(entry):
                shutil.rmtree(entry, ignore_errors=True)
                logger.info("making the graph of the model in %s, once; this takes a while", model)
                make_served_form(model, entry, exporter=exporter)
    except (OSError, ValueError) as error:
        raise ServedFormError(f"the graph cannot be made or kept: {type(error).__name__}: {error}") from error
    return entry


def _is_sound(entry: Path) -> bool:
    if not is_served_form(entry):
        return False
    try:
        read_served_form(entry)
    except ServedFormError as error:
        logger.warning("%s; it is made anew", error)
        return False
    return True


def _key(directory: Path) -> str:
    """Hash every file of a model that its served form depends on: 64 hex digits."""
    modules = modules_of(directory)
    settings = {
        path
        for folder in {directory, *(module.directory for module in modules)}
        for path in folder.glob("*")  # a module without settings may have no directory
        if path.suffix in SETTINGS_SUFFIXES
    }
    weights = {path for module in modules for path in weight_files(module.directory)}
    files = {path.relative_to(directory).as_posix(): sha256_of(path) for path in settings | weights}
    return hashlib.sha256(json.dumps([FORMAT, files], sort_keys=True).encode()).hexdigest()

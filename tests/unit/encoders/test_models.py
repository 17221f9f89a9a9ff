from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_server.encoders.base import ModelState, Role
from vecgate_server.encoders.models import ModelPool
from vecgate_server.encoders.runtime import Runtime
from vecgate_server.encoders.runtime_choice import load_runtime
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings, RuntimeChoice
from vecgate_server.errors import ModelNotFoundError, ModelUnavailableError, ShuttingDownError

NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens


def _settings(*directories: Path, preload: bool = True, micro_batch_tokens: int = 1024) -> EncoderSettings:
    return EncoderSettings(
        default="tiny-0",
        models=tuple(ModelSettings(f"tiny-{number}", directory) for number, directory in enumerate(directories)),
        preload=("tiny-0",) if preload else (),
        runtime=RuntimeChoice.TORCH,
        micro_batch_tokens=micro_batch_tokens,
    )


async def test_a_model_is_loaded_and_warm_once_the_pool_has_started(tiny_model: Callable[..., Path]) -> None:
    models = ModelPool(_settings(tiny_model(), tiny_model(seed=1)))
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
    models = ModelPool(_settings(tiny_model(), tiny_model(dense=24), preload=False))
    await models.start()
    try:
        assert models.ready
        encoder = await models.encoder("tiny-1")
        assert encoder.description.dimension == 24
        assert [status.state for status in models.statuses()] == [ModelState.AVAILABLE, ModelState.READY]
    finally:
        await models.close()


class CountedLoader:
    """Loads like the server does; counts, can be held, and fails on demand."""

    def __init__(self) -> None:
        self.loads = 0
        self.failure: Exception | None = None
        self.may_load = threading.Event()
        self.may_load.set()
        self.entered = threading.Event()

    def __call__(self, model: ModelSettings, settings: EncoderSettings) -> Runtime:
        self.loads += 1
        self.entered.set()
        assert self.may_load.wait(30)
        if self.failure is not None:
            raise self.failure
        return load_runtime(model, settings)


async def test_concurrent_first_uses_share_one_load(tiny_model: Callable[..., Path]) -> None:
    loader = CountedLoader()
    models = ModelPool(_settings(tiny_model(), preload=False), load=loader)
    loader.may_load.clear()
    uses = [asyncio.create_task(models.encoder(name)) for name in (None, "tiny-0", None)]
    await asyncio.sleep(0)
    assert models.statuses()[0].state is ModelState.LOADING
    uses[0].cancel()
    loader.may_load.set()
    try:
        answers = await asyncio.gather(*uses, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1] is answers[2]
        assert loader.loads == 1
    finally:
        await models.close()


async def test_a_failed_load_is_told_and_tried_again(tiny_model: Callable[..., Path]) -> None:
    loader = CountedLoader()
    models = ModelPool(_settings(tiny_model()), load=loader)
    loader.failure = OSError("disk went away")
    with pytest.raises(ModelUnavailableError, match="tiny-0 cannot be loaded: OSError: disk went away"):
        await models.start()
    assert not models.ready
    status = models.statuses()[0]
    assert (status.state, status.detail) == (ModelState.FAILED, "OSError: disk went away")
    loader.failure = None
    await models.encoder(None)
    assert (models.statuses()[0].state, models.statuses()[0].detail) == (ModelState.READY, "")
    assert loader.loads == 2
    await models.close()


async def test_an_unknown_model_is_refused_with_the_known_ones(tiny_model: Callable[..., Path]) -> None:
    models = ModelPool(_settings(tiny_model(), preload=False))
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
    models = ModelPool(settings)
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
    models = ModelPool(_settings(tiny_model()))
    await models.start()
    encoder = await models.encoder(None)
    await models.close()
    assert not models.ready
    with pytest.raises(ShuttingDownError):
        await models.encoder(None)
    with pytest.raises(ShuttingDownError):
        await encoder.encode(["a"], Role.QUERY)


async def test_closing_gives_up_on_a_load_that_does_not_end(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecgate_server.encoders.models.LOAD_CLOSE_SECONDS", 0.01)
    loader = CountedLoader()
    loader.may_load.clear()
    models = ModelPool(_settings(tiny_model(), preload=False), load=loader)
    use = asyncio.create_task(models.encoder(None))
    await asyncio.to_thread(loader.entered.wait, 30)
    try:
        await models.close()
        with pytest.raises(ShuttingDownError):
            await use
    finally:
        loader.may_load.set()


async def test_equal_models_have_equal_fingerprints_and_vectors_under_any_budget(
    tiny_model: Callable[..., Path],
) -> None:
    texts = ["", "the cat sat on the mat", "word " * 40, "日本語", "a b c d e x y z"] * 4
    answers = []
    for micro_batch_tokens in (1, 32, 4096):
        models = ModelPool(_settings(tiny_model(), micro_batch_tokens=micro_batch_tokens))
        await models.start()
        encoder = await models.encoder(None)
        answers.append((encoder.description.fingerprint, await encoder.encode(texts, Role.DOCUMENT)))
        await models.close()
    assert len({fingerprint for fingerprint, _ in answers}) == 1
    for _, encoding in answers[1:]:
        np.testing.assert_allclose(encoding.vectors, answers[0][1].vectors, atol=1e-6)


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


def test_the_models_are_configured_without_importing_what_runs_them() -> None:
    program = (
        "import sys; from vecgate_server.encoders.models import ModelPool; "
        "from vecgate_server.encoders.settings import EncoderSettings; ModelPool(EncoderSettings()); "
        "print(sorted({'torch', 'sentence_transformers', 'onnxruntime', 'tokenizers', 'huggingface_hub'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"


def test_a_missing_extra_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path]
) -> None:
    directory = tiny_model()
    monkeypatch.delitem(sys.modules, "vecgate_server.encoders.sentence_transformers", raising=False)
    monkeypatch.delattr("vecgate_server.encoders.sentence_transformers", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelUnavailableError, match=r"pip install 'vecgate\[encoders\]'"):
        load_runtime(ModelSettings("tiny", directory), EncoderSettings(runtime=RuntimeChoice.TORCH))

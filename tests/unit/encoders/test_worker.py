"""Models in processes of their own: they answer as in this process, and end, die and are replaced without harm."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import override

from vecgate_server.encoders import worker
from vecgate_server.encoders.base import ModelState, Role
from vecgate_server.encoders.runtime import WorkerDiedError
from vecgate_server.encoders.runtime_choice import load_runtime
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings, RuntimeChoice
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.worker import ProcessWorker
from vecgate_server.encoders.worker_link import Settle, WorkerLink
from vecgate_server.encoders.worker_messages import Loaded
from vecgate_server.errors import ModelUnavailableError, ShuttingDownError

Vectors: TypeAlias = NDArray[np.float32]

TEXTS = ["the cat sat on the mat", "", "a feline rested on the rug " * 9]


@pytest.fixture(scope="session")
def settings(graph_directory: Path) -> EncoderSettings:
    return EncoderSettings(graph_directory=graph_directory)


@pytest.fixture
def model(tiny_model: Callable[..., Path]) -> ModelSettings:
    return ModelSettings("tiny", tiny_model())


class CountedStarter:
    """Starts real processes and remembers them.

    The next ones end of the first batch, or seem to run another model, or what they say once they are loaded cannot be read.
    """

    def __init__(self) -> None:
        self.links: list[WorkerLink] = []
        self.kill_at_work = 0
        self.other_model = False
        self.unreadable = 0

    def __call__(self, model: ModelSettings, settings: EncoderSettings) -> WorkerLink:
        self.links.append(SabotagedLink(model, settings, self))
        return self.links[-1]


class SabotagedLink(WorkerLink):
    def __init__(self, model: ModelSettings, settings: EncoderSettings, starter: CountedStarter) -> None:
        super().__init__(model, settings)
        self._starter = starter

    @override
    def await_loaded(self) -> Loaded:
        loaded = super().await_loaded()
        if self._starter.unreadable:
            self._starter.unreadable -= 1
            raise ModuleNotFoundError("No module named 'renamed'")  # as after the package was replaced on the disk
        if self._starter.other_model:
            return replace(loaded, description=replace(loaded.description, fingerprint="sha256:other"))
        return loaded

    @override
    def forward(self, batch: Sequence[TokenizedText], role: Role, settle: Settle) -> None:
        if self._starter.kill_at_work:
            self._starter.kill_at_work -= 1
            os.kill(self.pid, signal.SIGKILL)
        super().forward(batch, role, settle)


@pytest.fixture
def starter() -> CountedStarter:
    return CountedStarter()


@pytest.fixture
def loaded(model: ModelSettings, settings: EncoderSettings, starter: CountedStarter) -> Iterator[ProcessWorker]:
    """A worker that is loaded."""
    served = ProcessWorker(model, settings, start=starter)
    served.load()
    yield served
    served.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or process does; the test's own timeout ends a wait in vain."""
    while not condition():
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def forward(served: ProcessWorker, batch: Sequence[TokenizedText], role: Role) -> Vectors:
    async def answer() -> Vectors:
        return await served.forward(batch, role)

    return asyncio.run(answer())


def run(served: ProcessWorker) -> Vectors:
    return forward(served, served.tokenizer.tokenize(TEXTS, Role.DOCUMENT), Role.DOCUMENT)


def run_both_roles(served: ProcessWorker) -> list[Vectors]:
    async def repeated(role: Role) -> list[Vectors]:
        batch = served.tokenizer.tokenize(TEXTS, role)
        return [await served.forward(batch, role) for _ in range(10)]

    async def both() -> list[Vectors]:
        return [answer for answers in await asyncio.gather(*map(repeated, Role)) for answer in answers]

    return asyncio.run(both())


def test_a_worker_answers_like_the_model_in_this_process(
    loaded: ProcessWorker, model: ModelSettings, settings: EncoderSettings
) -> None:
    here = load_runtime(model, settings)
    assert (loaded.description, loaded.concurrent) == (here.description, here.concurrent)
    for role in Role:
        ours, theirs = here.tokenizer.tokenize(TEXTS, role), loaded.tokenizer.tokenize(TEXTS, role)
        assert [text.counted for text in ours] == [text.counted for text in theirs]
        np.testing.assert_array_equal(forward(loaded, theirs, role), here.forward(ours, role))
    assert 20 << 20 < loaded.memory_bytes < 4 << 30


def test_calls_of_both_roles_are_answered(loaded: ProcessWorker) -> None:
    expected = run(loaded)
    for answer in run_both_roles(loaded):
        np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_a_model_that_cannot_be_loaded_is_told_in_its_own_words(settings: EncoderSettings, tmp_path: Path) -> None:
    refused = ProcessWorker(ModelSettings("mine", tmp_path / "nowhere"), settings)
    with pytest.raises(ModelUnavailableError, match=f"^model mine: {tmp_path / 'nowhere'} is not a directory$"):
        refused.load()
    assert (refused.state, refused.memory_bytes) == (ModelState.FAILED, 0)
    refused.close()


def test_what_a_model_fails_of_is_told_and_the_worker_lives_on(
    loaded: ProcessWorker, starter: CountedStarter, caplog: pytest.LogCaptureFixture
) -> None:
    expected = run(loaded)
    unknown = np.full(3, 10**6, np.int32)
    with pytest.raises(ModelUnavailableError, match="model tiny failed: "):
        forward(loaded, [TokenizedText(unknown, np.zeros_like(unknown), 3)], Role.QUERY)
    np.testing.assert_array_equal(run(loaded), expected)
    assert (len(starter.links), loaded.restarts) == (1, 0)
    until(lambda: "model tiny failed on 1 texts" in caplog.text)
    assert "Traceback" in caplog.text


def test_a_worker_that_dies_at_rest_is_replaced_before_the_next_call(
    loaded: ProcessWorker, starter: CountedStarter, caplog: pytest.LogCaptureFixture
) -> None:
    expected = run(loaded)
    os.kill(starter.links[0].pid, signal.SIGKILL)
    until(lambda: loaded.restarts == 1)
    assert loaded.state is ModelState.READY
    np.testing.assert_array_equal(run(loaded), expected)
    assert f"worker {starter.links[0].pid} of model tiny was ended by SIGKILL; it is replaced" in caplog.text


def test_who_waits_for_a_worker_that_dies_is_told_and_the_next_call_gets_its_replacement(
    loaded: ProcessWorker, starter: CountedStarter
) -> None:
    expected = run(loaded)
    starter.kill_at_work = 1
    with pytest.raises(WorkerDiedError, match="the worker of model tiny died or did not answer"):
        run(loaded)
    np.testing.assert_array_equal(run(loaded), expected)
    assert (len(starter.links), loaded.restarts) == (2, 1)


def test_while_a_worker_that_dies_again_and_again_pauses_calls_are_refused_at_once(
    loaded: ProcessWorker, starter: CountedStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PATIENT_DEATHS", 1)
    monkeypatch.setattr(worker, "FIRST_PAUSE_SECONDS", 1000.0)
    monkeypatch.setattr(worker, "LONGEST_PAUSE_SECONDS", 1000.0)
    os.kill(starter.links[0].pid, signal.SIGKILL)
    until(lambda: loaded.restarts == 1)
    os.kill(starter.links[1].pid, signal.SIGKILL)
    until(lambda: loaded.state is ModelState.FAILED)
    with pytest.raises(ModelUnavailableError, match="tiny: its worker died 2 times in a row"):
        run(loaded)
    assert loaded.memory_bytes == 0


def test_a_replacement_that_is_not_understood_counts_as_a_death_and_the_next_one_serves(
    loaded: ProcessWorker, starter: CountedStarter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "FIRST_PAUSE_SECONDS", 0.05)
    expected = run(loaded)
    starter.unreadable = 1
    os.kill(starter.links[0].pid, signal.SIGKILL)
    until(lambda: loaded.restarts == 1 or not loaded._watcher.is_alive())
    assert loaded.state is ModelState.READY
    np.testing.assert_array_equal(run(loaded), expected)
    assert len(starter.links) == 3
    until(lambda: gone(starter.links[1].pid))
    assert "model tiny has no worker: No module named 'renamed'" in caplog.text


def test_a_replacement_that_runs_another_model_is_refused(loaded: ProcessWorker, starter: CountedStarter) -> None:
    starter.other_model = True
    os.kill(starter.links[0].pid, signal.SIGKILL)
    until(lambda: loaded.state is ModelState.FAILED)
    with pytest.raises(ModelUnavailableError, match=r"tiny changed on the disk while it was served, .* restart the"):
        run(loaded)
    until(lambda: gone(starter.links[1].pid))
    assert loaded.restarts == 0


def test_closing_ends_the_process_and_refuses_calls(loaded: ProcessWorker, starter: CountedStarter) -> None:
    loaded.close()
    assert gone(starter.links[0].pid)
    with pytest.raises(ShuttingDownError):
        run(loaded)


def test_closing_ends_a_load(model: ModelSettings, settings: EncoderSettings, starter: CountedStarter) -> None:
    loading = ProcessWorker(model, settings, start=starter)
    with ThreadPoolExecutor(1) as thread:
        load = thread.submit(loading.load)
        loading.close()
        with pytest.raises(ShuttingDownError):
            load.result(timeout=60)
    assert gone(starter.links[0].pid)


async def outcome(link: WorkerLink, batch: Sequence[TokenizedText]) -> Vectors | Exception:
    settled: asyncio.Future[Vectors | Exception] = asyncio.get_running_loop().create_future()
    link.forward(batch, Role.QUERY, settled.set_result)
    return await settled


async def test_a_worker_ends_when_its_server_is_gone(model: ModelSettings, settings: EncoderSettings) -> None:
    link = WorkerLink(model, settings)
    link.await_loaded()
    os.kill(link.pid, signal.SIGINT)  # a Ctrl-C reaches it too, and the server has calls to finish
    batch = load_runtime(model, settings).tokenizer.tokenize(TEXTS, Role.QUERY)
    answer = await outcome(link, batch)
    assert isinstance(answer, np.ndarray)
    assert len(answer) == 3
    link._control.close()
    assert link._process.wait(60) == 0
    assert isinstance(await outcome(link, batch), WorkerDiedError)
    assert link.await_end() == "ended with exit code 0"


def test_a_process_that_cannot_be_started_leaves_nothing_open(
    model: ModelSettings, settings: EncoderSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError):
        WorkerLink(model, settings)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_process_that_ends_while_it_loads_is_told(model: ModelSettings, settings: EncoderSettings) -> None:
    link = WorkerLink(model, settings)
    link.kill()
    with pytest.raises(WorkerDiedError, match="model tiny was ended by SIGKILL while it was loading"):
        link.await_loaded()


def test_a_worker_logs_no_more_than_its_server(
    model: ModelSettings, settings: EncoderSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "vecgate_server"):
        quiet = ProcessWorker(model, settings)
        quiet.load()
    unknown = np.full(3, 10**6, np.int32)
    with pytest.raises(ModelUnavailableError, match="model tiny failed: "):
        forward(quiet, [TokenizedText(unknown, np.zeros_like(unknown), 3)], Role.QUERY)
    quiet.close()
    assert not [record for record in caplog.records if record.name.endswith("worker_process")]


def test_a_model_in_torch_takes_both_roles_in_turn(
    loaded: ProcessWorker, model: ModelSettings, settings: EncoderSettings
) -> None:
    expected = run(loaded)
    torch = ProcessWorker(model, replace(settings, runtime=RuntimeChoice.TORCH))
    torch.load()
    assert (torch.description.runtime, torch.concurrent) == ("torch", False)
    answers = run_both_roles(torch)
    torch.close()
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=1e-5)

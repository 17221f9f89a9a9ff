"""The settings of a server's models: which there are and how they run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vecgate_server.encoders.catalogue import CATALOGUE, DEFAULT_MODEL

CPU = "cpu"


class RuntimeChoice(StrEnum):
    """What runs the forward pass: ONNX Runtime, torch, or the faster one that can."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model.

    Attributes:
        name: what requests call it: a name of the catalogue, "owner/name" on the hub or, with a path, any name.
        path: its directory, a sentence-transformers model or a served form; None looks in the installed packages, the
            local cache and the hub.
    """

    name: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """The models of a server and how they run.

    Attributes:
        default: the model of requests that name none; one of models.
        models: every model that requests may name.
        preload: names of the models that start() loads; the others are loaded at their first use.
        runtime: what runs them. AUTO takes ONNX Runtime on a CPU where the model's graph can be made and gives torch's
            vectors, and torch otherwise; ONNX refuses models that it cannot run.
        threads: CPU threads of a run; 0 leaves the runtime's choice.
        device: where models run, such as "cpu" or "cuda"; ONNX takes "cpu" alone.
        micro_batch_tokens: budget of one run of a model: rows times the longest text. Small values serve queries sooner
            while documents are encoded.
        queue_tokens: most tokens that may wait for a model, of queries and of documents each.
        cache_directory: the Hugging Face cache; None means the library's own.
        hub_endpoint: address of the hub; None means the library's own.
        graph_directory: where graphs are kept once they were made; None means the user's cache.

    Raises:
        ValueError: a name is there twice, default or preload names a model that is not in models, a number is out of
            range, or runtime and device do not go together.
    """

    default: str = DEFAULT_MODEL
    models: tuple[ModelSettings, ...] = tuple(ModelSettings(name) for name in CATALOGUE)
    preload: tuple[str, ...] = (DEFAULT_MODEL,)
    runtime: RuntimeChoice = RuntimeChoice.AUTO
    threads: int = 0
    device: str = "cpu"
    micro_batch_tokens: int = 512
    queue_tokens: int = 262_144
    cache_directory: Path | None = None
    hub_endpoint: str | None = None
    graph_directory: Path | None = None

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError(f"a model is configured twice: {', '.join(sorted(names))}")
        for name in (self.default, *self.preload):
            if name not in names:
                raise ValueError(f"model {name} is not one of the configured ones: {', '.join(names)}")
        for setting, lowest in (("threads", 0), ("micro_batch_tokens", 1), ("queue_tokens", 1)):
            if getattr(self, setting) < lowest:
                raise ValueError(f"{setting} must be at least {lowest}")
        if self.runtime is RuntimeChoice.ONNX and self.device != CPU:
            raise ValueError(f"runtime onnx runs on {CPU}, not on {self.device}")

"""The sections of the settings that are about models: which there are, and how they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from vecgate_server.config_faults import closest
from vecgate_server.config_section import Section
from vecgate_server.encoders.catalogue import CATALOGUE, DEFAULT_MODEL
from vecgate_server.encoders.settings import CPU, Precision, RuntimeChoice


class ModelEntry(Section):
    """One model the server may load."""

    name: str = Field(min_length=1, description="The name used in requests.")
    path: Path | None = Field(default=None, description="Directory of the model; unset: found by its name.")
    precision: Precision | None = Field(
        default=None,
        description='"fp32" or "int8"; unset: encoder.precision. A served form has the one it was made in.',
    )
    matryoshka_dimensions: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description="Shorter lengths its vectors may be cut to, for a model that was trained for it and does not say so.",
    )


class ModelSettings(Section):
    """The encoder models."""

    default: str = Field(default=DEFAULT_MODEL, description="The model of requests that name none.")
    available: tuple[ModelEntry, ...] = Field(
        default=tuple(ModelEntry(name=name, path=None) for name in CATALOGUE),
        description="Every model requests may name.",
    )
    preload: tuple[str, ...] | None = Field(
        default=None, description="Models loaded before the server is ready; unset: the default model; []: none."
    )

    @property
    def preloaded(self) -> tuple[str, ...]:
        """The models to load before the server is ready."""
        return (self.default,) if self.preload is None else self.preload

    @model_validator(mode="after")
    def _know_every_name(self) -> Self:
        names = [entry.name for entry in self.available]
        if len(set(names)) < len(names):
            raise ValueError("available names a model twice")
        for key, name in [("default", self.default), *(("preload", name) for name in self.preloaded)]:
            if name not in names:
                raise ValueError(f"{key} names {name!r}, which is not among available{closest(name, names)}")
        return self


class EncoderSettings(Section):
    """How models run."""

    runtime: RuntimeChoice = Field(
        default=RuntimeChoice.AUTO,
        description='What runs models: "onnx" (ONNX Runtime on the CPU), "torch", or "auto": onnx where it can, else torch.',
    )
    precision: Precision = Field(
        default=Precision.FP32,
        description='In what models compute: "fp32", or "int8", which is faster and gives other, slightly worse vectors.',
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="Processes that run each model, each with all its weights."
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1_024,
        description="Threads of a worker's forward pass; 0: the cores divided by the workers.",
    )
    memory_budget_mib: int = Field(
        default=0,
        ge=0,
        description="MiB that the workers of all models may take; past it the model not used for longest is unloaded, "
        "but none of models.preload. 0: no limit.",
    )
    cache_mib: int = Field(
        default=64, ge=0, description="MiB of vectors of texts seen lately that are kept for each model. 0: none."
    )
    micro_batch_tokens: int = Field(
        default=512,
        ge=64,
        le=1_048_576,
        description="Padded tokens of one forward pass; a query waits for one at most.",
    )
    queue_tokens: int = Field(
        default=1_048_576,
        ge=1_024,
        description="Tokens that may wait for a model, of queries and of documents each; more are refused with a time "
        "to come back.",
    )
    device: str = Field(
        default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description='Where models run: "cpu", "cuda" or "cuda:1".'
    )
    cache_directory: Path | None = Field(
        default=None, description="The Hugging Face cache; unset: the library's own place."
    )
    hub_endpoint: str | None = Field(default=None, description="Address of the hub; unset: the library's own.")
    graph_directory: Path | None = Field(
        default=None, description="Where graphs for ONNX Runtime are kept once made; unset: the user's cache."
    )

    @model_validator(mode="after")
    def _refuse_onnx_elsewhere(self) -> Self:
        if self.runtime is RuntimeChoice.ONNX and self.device != CPU:
            raise ValueError(f"runtime onnx runs on {CPU}, not on {self.device}: set runtime: torch or device: {CPU}")
        return self

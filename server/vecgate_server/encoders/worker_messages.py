"""What a server and its worker processes tell each other: pickled, over sockets that nobody else holds.

A worker has three: one for control, and one for each role's batches. On control the server sends a Job and the worker answers
with Loaded or NotLoaded; before and after that it sends log records. On a role's socket the server sends a sequence of
TokenizedText, and the worker answers with the vectors as an array, or with ForwardFailed.
"""

from __future__ import annotations

from dataclasses import dataclass

from vecgate_server.encoders.base import ModelDescription
from vecgate_server.encoders.runtime import Tokenizer
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is for, and the least severities that it logs: of this package, and of all others."""

    model: ModelSettings
    settings: EncoderSettings
    log_level: int
    others_log_level: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is loaded and warm; see Runtime and Worker."""

    description: ModelDescription
    tokenizer: Tokenizer
    concurrent: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """The model cannot be loaded; the message is a sentence that names it."""

    message: str


@dataclass(frozen=True, slots=True)
class ForwardFailed:
    """The model raised an exception; kind is its class."""

    kind: str
    message: str

"""What each of several server processes is configured for: what a machine has once is divided, what a process has once is numbered."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from vecgate_server.config import Settings


@dataclass(frozen=True, slots=True)
class SharedPorts:
    """The ports that all server processes listen on.

    Attributes:
        calls: server.port. health: server.health_port; None if there is none.
    """

    calls: int
    health: int | None = None


def settings_of_place(settings: Settings, number: int, ports: SharedPorts) -> Settings:
    """Return the settings of one server process.

    Args:
        settings: of the whole server.
        number: the process's place, 1 to server.workers.
        ports: those that were reserved for all.
    """
    server = settings.server.model_copy(update={"port": ports.calls, "health_port": ports.health})
    changes: dict[str, Any] = {"server": server}
    encoder, telemetry = settings.encoder, settings.telemetry
    if not encoder.threads:
        # Each would use every core otherwise, and wait for the others' threads in the middle of a run.
        threads = max(1, (os.cpu_count() or 1) // (settings.server.workers * encoder.workers))
        changes["encoder"] = encoder.model_copy(update={"threads": threads})
    if telemetry.metrics_port:
        # Prometheus adds the targets up; one of them behind a shared port would tell of another process at each visit.
        changes["telemetry"] = telemetry.model_copy(update={"metrics_port": telemetry.metrics_port + number - 1})
    return settings.model_copy(update=changes)

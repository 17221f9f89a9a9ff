"""One of several server processes: `python -m vecgate_server.processes.server_process`, started by a supervisor.

It reads its settings from standard input, reports there and back as report.py tells, and drains when its input ends or at SIGTERM. The supervisor alone
decides about an end at once: a terminal's Ctrl-C and some service managers signal every process, which must not count as a second signal here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import sys
from typing import BinaryIO

from vecgate_backends.errors import ConfigurationError, VecgateError
from vecgate_server.config import Settings
from vecgate_server.config_faults import InvalidSettingsError
from vecgate_server.exit_codes import FAILED, WRONG_USE
from vecgate_server.model_start import begin_models
from vecgate_server.processes.report import Report
from vecgate_server.telemetry import configure_logging


def main() -> None:
    """Serve until the supervisor says otherwise."""
    for each in (signal.SIGTERM, signal.SIGINT):
        # A function and not SIG_IGN, which the processes started from here would inherit.
        signal.signal(each, lambda *_: None)
    reports = _take_output()
    try:
        settings: Settings = pickle.load(sys.stdin.buffer)  # noqa: S301  # from this package's own supervisor
    except EOFError:
        return
    configure_logging(settings.telemetry)
    report = _serve(settings, reports)
    if report.fault:
        reports.write(report.line())
    logging.shutdown()
    sys.stderr.flush()
    # Every part is closed; see command.py.
    os._exit(report.code)


def _take_output() -> BinaryIO:
    """Return what standard output was, which from now on goes where standard error goes: a library may print."""
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return reports


def _serve(settings: Settings, reports: BinaryIO) -> Report:
    try:
        # The check needs the backends' own packages, which the supervisor can do without.
        from vecgate_server.config_backends import refuse_unshared_backends  # noqa: PLC0415

        refuse_unshared_backends(settings)
        models = begin_models(settings)
        # It takes as long as a worker takes to load a model: meanwhile the workers do.
        from vecgate_server.app import serve_until  # noqa: PLC0415

        def announce(_: str) -> None:
            reports.write(Report().line())

        async def serve() -> None:
            await serve_until(_drain_signal(), settings, models, announce)

        asyncio.run(serve())
    except InvalidSettingsError as fault:
        return Report(str(fault), WRONG_USE)
    except (ConfigurationError, VecgateError) as fault:
        return Report(str(fault), FAILED)
    return Report()


def _drain_signal() -> asyncio.Event:
    """Return an event that is set when the process is to drain."""
    draining = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, draining.set)
    descriptor = sys.stdin.fileno()

    def input_ended() -> None:
        loop.remove_reader(descriptor)
        draining.set()

    loop.add_reader(descriptor, input_ended)
    return draining


if __name__ == "__main__":
    main()

"""The process of a model, without the server's side of it."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.encoders.worker_messages import Job

# The thread that ends the process as soon as the server is gone mostly comes first; here it never does.
LATE = """
import sys
from vecgate_server.encoders import worker_process
worker_process._end_with_server = lambda control: None
worker_process.main(sys.argv[1:])
"""


def test_a_server_that_ends_while_its_model_loads_leaves_no_traceback(tmp_path: Path) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    theirs = [end.fileno() for _, end in pairs]
    command = [sys.executable, "-c", LATE, *map(str, theirs)]
    with subprocess.Popen(command, pass_fds=theirs, stderr=subprocess.PIPE, text=True) as process:
        for _, end in pairs:
            end.close()
        job = Job(ModelSettings("absent", tmp_path / "absent"), EncoderSettings(), logging.INFO, logging.WARNING)
        with Connection(pairs[0][0].detach()) as control:
            control.send(job)
        for ours, _ in pairs[1:]:
            ours.close()
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, "")

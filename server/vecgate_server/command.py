"""The command vecgate-server.

Exit codes: 0 after a drain, 1 if the server cannot start, 2 if the configuration or the command line is wrong, 130 for a
Ctrl-C before there was anything to drain.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Never

import click

from vecgate_backends.errors import ConfigurationError, VecgateError
from vecgate_server.config import load_settings, settings_text
from vecgate_server.config_faults import InvalidSettingsError, closest
from vecgate_server.config_option import config_option
from vecgate_server.encoders.base import ModelKind
from vecgate_server.encoders.settings import Precision
from vecgate_server.errors import ModelUnavailableError
from vecgate_server.exit_codes import FAILED, INTERRUPTED, WRONG_USE, end
from vecgate_server.health_command import healthcheck
from vecgate_server.model_start import begin_models, encoder_settings
from vecgate_server.processes.place import ServerStartError
from vecgate_server.processes.supervisor import supervise
from vecgate_server.security.keys_command import keys
from vecgate_server.store_commands import backup, verify
from vecgate_server.telemetry import configure_logging


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vecgate", prog_name="vecgate-server")
@config_option
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Serve vecgate.v1.VectorSearchService over gRPC until SIGTERM or Ctrl-C."""
    context.obj = config
    if context.invoked_subcommand is None:
        _serve(config)


@main.command()
@config_option
@click.pass_obj
def serve(group_config: Path | None, config: Path | None) -> None:
    """Serve; the same as no command."""
    _serve(config or group_config)


@main.command("check-config")
@config_option
@click.pass_obj
def check_config(group_config: Path | None, config: Path | None) -> None:
    """Print the settings that would be served, or what is wrong with them."""
    from vecgate_server.config_backends import (  # noqa: PLC0415  # serving needs it later
        refuse_unshared_backends,
        with_backend_defaults,
    )

    try:
        settings = load_settings(config or group_config)
        refuse_unshared_backends(settings)
        click.echo(settings_text(with_backend_defaults(settings)), nl=False)
    except ConfigurationError as fault:
        end(WRONG_USE, str(fault))


@main.command("export-model")
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--precision",
    type=click.Choice([precision.value for precision in Precision]),
    help="What the graph computes in. Default: what the settings say.",
)
@config_option
@click.pass_obj
def export_model(
    group_config: Path | None, name: str, directory: Path, precision: str | None, config: Path | None
) -> None:
    """Write the model NAME of the settings to the new DIRECTORY in its served form.

    A model entry whose path is that directory is served without torch.
    """
    try:
        settings = load_settings(config or group_config)
        encoders = encoder_settings(settings)
        model = next((model for model in encoders.models if model.name == name), None)
        if model is None:
            known = [each.name for each in encoders.models]
            end(WRONG_USE, f"models.available has no {name!r}{closest(name, known)}")
        # It needs libraries that a server may do without.
        from vecgate_server.encoders import model_export  # noqa: PLC0415

        asked = replace(model, precision=Precision(precision) if precision else model.precision)
        form = model_export.export_model(asked, encoders, directory)
    except InvalidSettingsError as fault:
        end(WRONG_USE, str(fault))
    except ImportError as fault:
        end(FAILED, f"export-model needs {fault.name}; install it with: pip install 'vecgate[encoders]'")
    except (ModelUnavailableError, OSError) as fault:
        end(FAILED, str(fault))
    except KeyboardInterrupt:
        end(INTERRUPTED, "interrupted")
    gives = "a score for a pair" if form.kind is ModelKind.CROSS_ENCODER else f"{form.dimension} dimensions"
    click.echo(f"{directory}: {name} in {form.precision}, {gives}, {form.agreement}")


main.add_command(verify)
main.add_command(backup)
main.add_command(keys)
main.add_command(healthcheck)


def _serve(config: Path | None) -> None:
    # Until serve() has handlers of its own. To the first process of a container the system sends no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        settings = load_settings(config)
        configure_logging(settings.telemetry)
        if settings.server.workers > 1:
            asyncio.run(supervise(settings, _announce))
        else:
            models = begin_models(settings)
            # It takes as long as a worker takes to load a model: meanwhile the workers do.
            from vecgate_server.app import serve as serve_until_signalled  # noqa: PLC0415

            asyncio.run(serve_until_signalled(settings, models, _announce))
    except ServerStartError as fault:
        end(fault.code, str(fault))
    except InvalidSettingsError as fault:
        end(WRONG_USE, str(fault))
    except (ConfigurationError, VecgateError) as fault:
        end(FAILED, str(fault))
    except KeyboardInterrupt:
        end(INTERRUPTED, "interrupted")
    _leave()


def _announce(address: str) -> None:
    click.echo(f"vecgate-server: serving on {address}")
    sys.stdout.flush()


def _leave() -> Never:
    """End the process at once: every part is closed, and taking torch's modules apart would add seconds to each restart."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

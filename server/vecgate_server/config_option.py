"""The option --config, which the command and its subcommands take alike."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    "config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="YAML file with settings. Default: the documented defaults and VECGATE_... variables.",
)

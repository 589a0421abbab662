"""The group `pullback study NAME`: each study is a file of this folder and one line below."""

import typer

from . import planted, volume

study = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="The experiments of the paper, each one command."
)
study.command("planted")(planted.planted)
study.command("volume")(volume.volume)

"""The group `pullback study NAME`: each study is a file of this folder and one line below."""

import typer

from . import overlap, planted

study = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="The experiments of the paper, each one command."
)
study.command("planted")(planted.planted)
study.command("overlap")(overlap.overlap)
study.command("noise")(overlap.noise)

"""The group `pullback study NAME`: each study is a file of this folder and one line below."""

import typer

from . import domains, minimal, overlap, planted, robustness, search, volume

__all__ = ["study"]

study = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="The experiments of the paper, each one command."
)
study.command("minimal")(minimal.minimal)
study.command("planted")(planted.planted)
study.command("robustness")(robustness.robustness)
study.command("search")(search.search)
study.command("overlap")(overlap.overlap)
study.command("noise")(overlap.noise)
study.command("volume")(volume.volume)
study.command("domains")(domains.domains)

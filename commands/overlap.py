"""`pullback study overlap` and `pullback study noise`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options
from .divided import measured, show_findings

DATA = "animals, esc50:FOLDER, tones (built in), a folder of recordings or of CLASS/recording."
LEVEL = "Level of the target over the corruption in dB at which mixtures are explained; repeat it for several."
METHODS = "A method; 'z * METHOD' ranks by |a ⊙ z|, 'mel * METHOD' masks cells of time × mel band. Repeat it for several."
DOMAINS = "the Haar wavelet of the paper, and wavelets, wavelet packets, stft, mdct and dct"


@dataclass(frozen=True)
class SoundOptions(options.StudyOptions):
    """The options of both studies. Each field is one."""

    model: Annotated[str, typer.Option(help="yamnet, tones (built in), package.module:callable, …, as in compare.")] = "yamnet"
    data: Annotated[str, typer.Option(help=DATA)] = "animals"
    level: Annotated[list[float] | None, typer.Option(help=LEVEL)] = None
    method: Annotated[list[str] | None, typer.Option(help=METHODS)] = None
    transform: Annotated[list[str] | None, options.domains(DOMAINS)] = None
    seconds: Annotated[float | None, options.decimal("Length of the segments.")] = None
    targets: Annotated[int | None, options.number("Largest number of targets.", 4)] = None
    limit: Annotated[int | None, options.number("Largest number of recordings that are read.", 4)] = None
    shown: Annotated[int | None, options.number("Mixtures that are drawn and written as sound.", 0)] = None
    quick: Annotated[
        bool,
        options.switch(
            "--quick", "Few targets and cheap methods, built-in tones in place of YAMNet: a trial of about a minute."
        ),
    ] = False
    arch: Annotated[str | None, typer.Option(help=options.ARCH)] = None
    output: Annotated[str | None, typer.Option(help=options.OUTPUT)] = None
    input: Annotated[list[str] | None, typer.Option(help=options.INPUT)] = None
    rate: Annotated[float | None, options.decimal(options.RATE)] = None
    window: Annotated[int | None, options.number(options.WINDOW)] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")] = "auto"
    batch_size: Annotated[str, typer.Option(help="Largest number of model inputs in one forward: 'auto' or a number.")] = "auto"
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0

    def settings(self) -> dict[str, Any]:
        """The fields of the settings of the study that are given."""
        others = {"quick", *(one.name for one in dataclasses.fields(options.StudyOptions))}
        given = {name: value for name, value in vars(self).items() if name not in others and value is not None}
        for name, field in (("level", "levels"), ("transform", "domains"), ("method", "methods"), ("input", "inputs")):
            if name in given:
                given[field] = tuple(given.pop(name))
        return given | {"device": options.resolve_device(self.device), "batch_size": options.batch_size(self.batch_size)}


@options.grouped
def overlap(run: SoundOptions, out: options.OutOption = Path("results/overlap")) -> None:
    """Mix each recording with one of another class: do the coefficients that matter to the model hold the target?

    Scored against the truth first (SI-SDR), with |coefficient|, random and ideal selections of as many coefficients.
    """
    from .. import studies

    _study(studies.overlap, studies.OverlapSettings(**run.settings()), run, out)


@options.grouped
def noise(run: SoundOptions, out: options.OutOption = Path("results/noise")) -> None:
    """Add white noise to each recording: do the coefficients that matter to the model hold the target?

    Scored against the truth first (SI-SDR), with |coefficient|, random and ideal selections of as many coefficients.
    """
    from .. import studies

    _study(studies.noise, studies.OverlapSettings(**studies.NOISE_LEVELS | run.settings()), run, out)


def _study(study: Any, settings: Any, run: SoundOptions, out: Path) -> None:
    show_findings(measured(study, settings.quick if run.quick else settings, out, "targets", run))

"""Spectrograms to see and sounds to hear, of one mixture."""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ...core.files import slug, write_whole
from ..kinds.audio import sound
from ..kinds.plane import LOUDEST, draw_plane, spectrogram
from ..report.figures import save
from .rankings import CONTROLS
from .settings import Settings
from .trial import Kept, Record

LOWEST = 200  # spectrograms begin at this part of the rate, 80 Hz of 16 kHz
LOUD = 0.9  # the largest sample of all sounds of a mixture


def present(record: Record, kept: Kept, rate: float, settings: Settings, out: Path) -> list[str]:
    """Writes the sounds and the spectrograms of the hardest mixture at the main budget. Returns the names of the files."""
    level = list(kept.mixtures)[-1]
    mixture = kept.mixtures[level]
    parts = {"mixture": mixture.x, "target": mixture.target, "corruption": mixture.corruption}
    kept_signals = {
        (domain, ranking): one
        for (where, domain, ranking, budget), one in kept.signals.items()
        if where == level and budget == settings.budget
    }
    chosen = shown_ranking(record, settings)
    heard = {key: one for key, one in kept_signals.items() if key[1] in (chosen, "coefficient", "oracle")}
    name = slug(record["target"])
    files = _sounds(parts, heard, chosen, rate, out, f"sounds/{name}")
    return [*files, _spectrograms(parts, heard, chosen, rate, record, out / f"spectrograms-{name}.png")]


def shown_ranking(record: Record, settings: Settings) -> str:
    """The method that is shown: the first of `settings`, so that it is not chosen by its scores."""
    return settings.methods[0]


def _sounds(
    parts: dict[str, Tensor], heard: dict[tuple[str, str], Tensor], chosen: str, rate: float, out: Path, name: str
) -> list[str]:
    """WAV files on one scale, so that levels can be compared by ear and nothing is clipped."""
    named = parts | {f"{slug(domain)}-{_role(ranking, chosen)}": one for (domain, ranking), one in heard.items()}
    scale = LOUD / max(float(one.abs().max()) for one in named.values())
    files = []
    for what, one in named.items():
        content = sound(scale * one, 1 / rate)
        files.append(f"{name}-{what}.wav")
        write_whole(out / files[-1], lambda path, content=content: Path(path).write_bytes(content))  # type: ignore[misc]
    return files


def _role(ranking: str, chosen: str) -> str:
    return ranking if ranking in CONTROLS else "interpretation" if ranking == chosen else slug(ranking)


def _spectrograms(
    parts: dict[str, Tensor], heard: dict[tuple[str, str], Tensor], chosen: str, rate: float, record: Record, path: Path
) -> str:
    """A column for the parts and for each domain; a row for each of attribution, |coefficient| and oracle."""
    domains = list(dict.fromkeys(domain for domain, _ in heard))
    figure = Figure(figsize=(2.3 * (1 + len(domains)), 6.2), layout="constrained")
    axes = figure.subplots(3, 1 + len(domains), sharex=True, sharey=True)
    loudest = max(float(_level(one)) for one in parts.values())
    for row, (what, one) in enumerate(parts.items()):
        _draw(axes[row, 0], one, rate, loudest, what)
    for column, domain in enumerate(domains, 1):
        for row, ranking in enumerate((chosen, "coefficient", "oracle")):
            said = {"coefficient": "by |coefficient|", "oracle": "ideal mask"}.get(ranking, "by attribution")
            gain = _gain(record, domain, ranking)
            title = f"{domain}\n{said}: {gain}" if row == 0 else f"{said}: {gain}"
            _draw(axes[row, column], heard[domain, ranking], rate, loudest, title)
    for axis in axes[:, 1:].flat:
        axis.set_ylabel("")
    for axis in axes[-1]:
        axis.set_xlabel("s", fontsize=8)
    figure.suptitle(f"{record['target']} ({record['class']}) + {record['corruption']}, by {chosen}; SI-SDR in dB", fontsize=10)
    return save(figure, path)


def _gain(record: Record, domain: str, ranking: str) -> str:
    rows = [row for row in record["rows"] if (row["domain"], row["ranking"]) == (domain, ranking)]
    own = next(row for row in reversed(rows) if row["budget"] == _main(record))
    return f"{own['si_sdr']:+.1f} dB"


def _main(record: Record) -> float:
    return float(next(row["budget"] for row in record["rows"] if "ff" in row))


def _level(one: Tensor) -> Tensor:
    """The largest short-time level, in dB."""
    return 20 * torch.log10(_spectrum(one[0]).abs().amax().clamp(min=1e-12))


def _spectrum(line: Tensor) -> Tensor:
    size = min(256, line.shape[-1])
    window = torch.hann_window(size, dtype=line.dtype, device=line.device)
    return torch.stft(line, size, max(1, size // 4), window=window, return_complex=True, pad_mode="constant")


def draw_alone(axis: object, one: Tensor, rate: float, title: str) -> None:
    """The spectrogram with its own loudest place at 0 dB, so that a quiet sound is as bright as a loud one."""
    _draw(axis, one, rate, float(_level(one)), title, 9)


def _draw(axis: object, one: Tensor, rate: float, loudest: float, title: str, size: int = 7) -> None:
    """The spectrogram on the scale of all panels: 0 dB is the loudest of mixture, target and corruption."""
    plane = spectrogram(one[0].cpu())
    below = float(_level(one)) - loudest
    draw_plane(axis, plane._replace(image=plane.image + below), 1 / rate, norm=None, vmin=-LOUDEST, vmax=0, cmap="magma")
    axis.set_ylim(bottom=rate / LOWEST)  # type: ignore[attr-defined]
    axis.set_title(title, fontsize=size)  # type: ignore[attr-defined]
    axis.tick_params(labelsize=size - 1)  # type: ignore[attr-defined]

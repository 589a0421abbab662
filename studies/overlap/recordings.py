"""Segments of recordings, the pairs of them that are mixed, and the mixing laws."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...attribution import open_engine
from ..kinds import Wants
from ..loaders.data import Photos, load_photos
from ..loaders.models import LoadedModel
from .settings import NOISE, Settings
from .tones import TONES, tones

QUIET = 0.1  # of the energy of the loudest segment: quieter ones are no targets
STEPS = 4  # segments begin a fourth of their length apart


class Chosen(nn.Module):
    """Some outputs of a model.

    >>> Chosen(nn.Identity(), [2, 0])(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 1.]])
    """

    def __init__(self, module: nn.Module, outputs: Sequence[int]) -> None:
        super().__init__()
        self.inner, self.outputs = module, list(outputs)
        self.training = getattr(module, "training", False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, chosen)."""
        found: Tensor = self.inner(x)
        return found[:, self.outputs]


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording.

    label: of the chosen outputs; that of the data, or without one the predicted class.  target: the segment in which the
    model gives the class the highest probability; loudest: that with the largest energy; each (1, samples), without its mean
    and with a peak of 1.  probability: at `target`.  recognised: whether the class has the largest output there.
    """

    name: str
    label: int
    class_name: str
    target: Tensor
    loudest: Tensor
    probability: float
    recognised: bool


@dataclass(frozen=True, eq=False)
class Recordings:
    """What is mixed.  model: the chosen outputs, as logits.  rate: in Hz.  targets: the recognised ones.  notes: the rest."""

    model: nn.Module
    classes: tuple[str, ...]
    rate: float
    clips: list[Clip]
    targets: list[Clip]
    notes: list[str]


class Mixture(NamedTuple):
    """x = target + corruption, each (1, samples).  level: ‖target‖² over ‖corruption‖², in dB."""

    x: Tensor
    target: Tensor
    corruption: Tensor
    level: float


def mix(target: Tensor, corruption: Tensor, level: float | None = None, peak: float | None = None) -> Mixture:
    """The mixture at a level in dB, or with a corruption of `peak` of the target's peak.

    10 log₁₀ (‖s‖² / ‖n‖²) = level; or max |n| = peak · max |s|, the law of the paper with 0.2. All three are divided by
    max(1, max |x|), so that nothing is clipped.  Shapes: (1, samples).  Source of the second law: Kasmi et al. 2025.

    >>> s, n = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, 0.5]])
    >>> mix(s, n, 0.0).x, round(mix(s, n, peak=0.2).level, 2)
    (tensor([[1., 0.]]), 13.98)
    """
    corruption = _gain(target, corruption, level, peak) * corruption
    found = float(10 * torch.log10(target.square().sum() / corruption.square().sum()))
    x = target + corruption
    scale = x.abs().max().clamp(min=1)
    return Mixture(x / scale, target / scale, corruption / scale, found)


def _gain(target: Tensor, corruption: Tensor, level: float | None, peak: float | None) -> Tensor:
    """By what the corruption is multiplied."""
    if (level is None) == (peak is None):
        raise ValueError("mix: expected either a level in dB or a peak.")
    if peak is not None:
        return peak * target.abs().max() / corruption.abs().max()
    return (target.square().sum() / corruption.square().sum() * 10 ** (-(level or 0.0) / 10)).sqrt()


def white_noise(like: Tensor, seed: int, name: str) -> Tensor:
    """Normal noise with a peak of 1, fixed by seed and name. Shape: as `like`."""
    noise = torch.randn(like.shape, generator=_generator(seed, name)).to(like)
    return noise / noise.abs().max()


def partner(target: Clip, recordings: Recordings, settings: Settings) -> tuple[str, Tensor]:
    """Name and segment of what corrupts a target: white noise, or a recording of another class, by seed and name."""
    if settings.corruption == NOISE:
        return "white noise", white_noise(target.target, settings.seed, target.name)
    others = [clip for clip in recordings.clips if clip.label != target.label]
    if not others:
        raise ValueError(f"{settings.name}: expected recordings of two classes or more, got only {target.class_name!r}.")
    drawn = int(torch.randint(len(others), (), generator=_generator(settings.seed, target.name)))
    return others[drawn].name, others[drawn].loudest


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def halves(count: int, explored: float) -> list[str]:
    """ "explore" or "confirm" for each of `count` targets, spread evenly over their order.

    >>> halves(5, 0.4)
    ['confirm', 'confirm', 'explore', 'confirm', 'explore']
    """
    return ["explore" if int(explored * (one + 1)) > int(explored * one) else "confirm" for one in range(count)]


def read_recordings(settings: Settings, model: LoadedModel) -> Recordings:
    """The clips of the data, and those that the model recognises, sorted by class and name and at most `targets` of them.

    Raises: ValueError where fewer than four are recognised, or the model has one output.
    """
    photos = tones() if settings.data == TONES else load_photos(settings.data, settings.limit, model.signals)
    read = {photo.name: signal for photo, signal in photos.inputs(model.fitted)}
    notes = [f"{name}: {why}" for name, why in photos.skipped]
    if not read:
        raise ValueError(f"{settings.name}: no recording of {settings.data[:60]!r} can be read ({'; '.join(notes)[:120]}).")
    rate = model.rate or 1 / next(iter(read.values())).step[0]
    samples = max(round(settings.seconds * rate), model.window or 1)
    cut = {name: segments(signal.values.to(settings.device), samples) for name, signal in read.items()}
    cut = _distinct(cut, notes)
    net, labels, names = _chosen(settings, model, photos, cut, rate)
    clips = [_clip(net, name, found, labels[name], names) for name, found in cut.items()]
    notes += [f"{clip.name}: not recognised as {clip.class_name}" for clip in clips if not clip.recognised]
    return Recordings(net, names, rate, clips, _targets(clips, settings), notes)


def _distinct(cut: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """The recordings without silent ones and copies, which would count twice; `notes` gets a sentence for each of these."""
    found: dict[str, Tensor] = {}
    for name, one in cut.items():
        copy = next((other for other, known in found.items() if torch.equal(one, known)), None)
        if copy is None and bool(one.any()):
            found[name] = one
        else:
            notes.append(f"{name}: {'silence' if copy is None else f'a copy of {copy}'}")
    return found


def _chosen(
    settings: Settings, model: LoadedModel, photos: Photos, cut: dict[str, Tensor], rate: float
) -> tuple[nn.Module, dict[str, int | None], tuple[str, ...]]:
    """The module of the outputs that count, the label of each recording among them, and their names."""
    first = next(iter(cut.values()), torch.zeros(1, 1, model.window or 1))[:1]
    module = model.signals.module(model.module, Wants(rate, model.window), tuple(first.shape[1:]))
    labels, outputs = _labels(photos, list(cut), replace(model, module=module).classify(first).shape[1], model)
    if len(outputs) < 2:
        raise ValueError(f"{settings.name}: expected a model of two classes or more, got {len(outputs)} output.")
    places = {name: None if label is None else outputs.index(label) for name, label in zip(cut, labels)}
    return Chosen(module, outputs).eval(), places, tuple(model.class_name(one) or str(one) for one in outputs)


def _targets(clips: list[Clip], settings: Settings) -> list[Clip]:
    """The recognised clips by class and name, at most so many as are asked for, evenly over the classes."""
    found = sorted((clip for clip in clips if clip.recognised), key=lambda clip: (clip.label, clip.name))
    if len(found) < 4:
        raise ValueError(f"{settings.name}: {len(found)} of {len(clips)} recordings are recognised; expected 4 or more.")
    count = min(settings.targets, len(found))
    return [found[one * len(found) // count] for one in range(count)]


def segments(values: Tensor, samples: int) -> Tensor:
    """Segments of a recording, a fourth of their length apart, without their means; zeros fill a short one.

    Shapes: (1, n) to (segments, 1, samples).

    >>> segments(torch.arange(6.0)[None], 4).shape
    torch.Size([3, 1, 4])
    """
    padded = nn.functional.pad(values, (0, max(0, samples - values.shape[-1])))
    cut = padded.unfold(-1, samples, max(1, samples // STEPS)).movedim(1, 0)
    return cut - cut.mean(-1, keepdim=True)


def _labels(photos: Photos, names: list[str], outputs: int, model: LoadedModel) -> tuple[list[int | None], list[int]]:
    """The label of each recording, and the outputs that count: the classes of the data, or all where they have none."""
    entries = photos.labelled(outputs, model.classes)[0].entries
    by_name = {photo.name: photo.label for photo in entries}
    labels = [by_name[name] for name in names]
    known = sorted({label for label in labels if label is not None})
    return (labels, known) if len(known) > 1 else ([None] * len(labels), list(range(outputs)))


def _clip(net: nn.Module, name: str, cut: Tensor, label: int | None, names: Sequence[str]) -> Clip:
    """The segments of a recording, (segments, 1, samples), as a clip."""
    energy = cut.square().sum((1, 2))
    cut, energy = cut[energy >= QUIET * energy.max()], energy[energy >= QUIET * energy.max()]
    cut = cut / cut.abs().amax(-1, keepdim=True)
    probability, predicted = answers(net, cut, label)
    best = int(probability.argmax())
    own = int(predicted[best]) if label is None else label
    right = int(predicted[best]) == own
    return Clip(name, own, names[own], cut[best], cut[int(energy.argmax())], float(probability[best]), right)


def answers(net: nn.Module, x: Tensor, label: int | None) -> tuple[Tensor, Tensor]:
    """Softmax at the class, or the largest without one, and the predicted class; both (batch,).  x: (batch, 1, samples)."""

    def read(output: Any, example: Tensor) -> Tensor:
        found = output.detach().to(x).softmax(1)
        own = found.amax(1) if label is None else found[:, label]
        return torch.stack([own, found.argmax(1).to(own)], 1)

    with open_engine(net, x[:1], 0) as engine:
        found = engine.outputs(torch.zeros(len(x), dtype=torch.long, device=x.device), x.__getitem__, read)
    return found[:, 0], found[:, 1]

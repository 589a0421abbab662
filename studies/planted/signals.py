"""Signals with known class-carrying atoms: a background, the atoms of a hidden frame, and distractors."""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...metrics.protocol.rotation import Rotation
from ...transforms import Transform, get

Rule = Literal["presence", "sign", "product"]
RULES = ("presence", "sign", "product")
ROTATED = "rotation"  # a hidden frame that is no domain: a random rotation
_QUIET, _SAMPLED = 0.5, 256  # of an atom's amplitude; backgrounds by which the loudness of each coefficient is measured
_VARIATION = 0.3  # relative spread of the amplitudes


@dataclass(frozen=True)
class Parts:
    """The parts of some signals, each (count, *shape); their sum is x.

    label: the class, (count,).  other: a bit that only the distractors carry where they are paired, (count,).
    """

    background: Tensor
    atoms: Tensor
    distractors: Tensor
    label: Tensor
    other: Tensor

    @property
    def x(self) -> Tensor:
        """The signals."""
        return self.background + self.atoms + self.distractors

    def unchanged(self) -> "Parts":
        """The signals as they are."""
        return self

    def turned(self) -> "Parts":
        """The same signals with atoms and distractors exchanged: the distractors' bit is the class."""
        return Parts(self.background, self.distractors, self.atoms, self.other, self.label)


@dataclass(frozen=True)
class Recipe:
    """How signals are made: x = background of power 1/f^(2 slope) + atoms that carry the class + distractors that do not.

    shape: (channels, *sizes).  hidden: the domain whose atoms carry the class, or "rotation", which is no domain.
    other: the domain of the distractors.  atoms: their number for each of two groups.  active: how many are in one signal.
    amplitude: of an atom, in standard deviations of a sample of the background.  loudness: of a distractor, in amplitudes.
    loud: the number of distractors in a signal.  rule: what the class is: which group is *present*; the *sign* of the first
    group's atoms; the *product* of the signs of both groups.  leak: the share of signals whose distractors have the sign of the
    class.
    paired: whether all distractors of a signal have one sign, a bit of their own.  permuted: whether samples are shuffled, by
    one order for all signals.  seed: of the atoms and of the order, not of the signals.

    Atoms are drawn among coefficients in which the background is at most half as loud; distractors are those of their domain
    with the least energy in the span of the atoms, so that a model can ignore them without reading anything else.

    >>> parts = Recipe((1, 32), "dct", "pixel").draw(4, torch.Generator().manual_seed(0))
    >>> parts.x.shape, parts.label.shape
    (torch.Size([4, 1, 32]), torch.Size([4]))
    """

    shape: tuple[int, ...]
    hidden: str
    other: str
    atoms: int = 5
    active: int = 3
    amplitude: float = 3.0
    loudness: float = 1.0
    loud: int = 4
    slope: float = 0.8
    rule: Rule = "sign"
    leak: float = 0.0
    paired: bool = False
    permuted: bool = False
    seed: int = 0

    @property
    def frame(self) -> Transform:
        """The hidden frame."""
        return Rotation(self.shape, self.seed + 1000) if self.hidden == ROTATED else get(self.hidden, self.shape)

    @functools.cached_property
    def planted(self) -> Tensor:
        """The class-carrying atoms, (2, atoms, *shape), of norm 1, before samples are shuffled."""
        frame, generator = self.frame, torch.Generator().manual_seed(self.seed)
        sampled = frame(self._background(_SAMPLED, generator)).flatten(1)
        quiet = (sampled.std(0) < _QUIET * self.amplitude).nonzero()[:, 0]
        if len(quiet) < 2 * self.atoms:
            raise ValueError(f"planted: {self.hidden} has {len(quiet)} quiet coefficients; {2 * self.atoms} atoms need more.")
        chosen = quiet[torch.randperm(len(quiet), generator=generator)[: 2 * self.atoms]]
        return unit_atoms(frame, chosen).unflatten(0, (2, self.atoms))

    @functools.cached_property
    def distracting(self) -> Tensor:
        """The atoms of the distractors, twice as many as are in one signal, (2 loud, *shape)."""
        frame, generator = get(self.other, self.shape), torch.Generator().manual_seed(self.seed + 1)
        count = math.prod(frame.layout.shape)
        candidates = torch.randperm(count, generator=generator)[: min(count, 16 * self.loud)]
        found, span = unit_atoms(frame, candidates), self.planted.flatten(0, 1).flatten(1)
        overlap = (found.flatten(1) @ torch.linalg.qr(span.T).Q).square().sum(1)
        return found[overlap.argsort(stable=True)[: 2 * self.loud]]

    @functools.cached_property
    def order(self) -> Tensor:
        """The order of the samples, (samples,)."""
        samples = math.prod(self.shape)
        generator = torch.Generator().manual_seed(self.seed + 2)
        return torch.randperm(samples, generator=generator) if self.permuted else torch.arange(samples)

    def draw(self, count: int, generator: torch.Generator) -> Parts:
        """New signals, with as many of each class on average."""
        label, sign = (torch.randint(2, (count,), generator=generator) for _ in range(2))
        present, signs = self._roles(label, 2 * sign - 1)
        size = (1 + _VARIATION * torch.randn(2, count, self.atoms, generator=generator)).clamp(min=0.3)
        chosen = torch.rand(2, count, self.atoms, generator=generator).argsort(2).argsort(2) < self.active
        amount = self.amplitude * size * chosen * present[:, :, None] * signs[:, :, None]
        atoms = torch.einsum("gna,ga...->n...", amount, self.planted)
        noise, bit = self._distractors(label, generator)
        background, atoms, noise = map(self.shuffled, (self._background(count, generator), atoms, noise))
        return Parts(background, atoms, noise, label, bit)

    def _roles(self, label: Tensor, sign: Tensor) -> tuple[Tensor, Tensor]:
        """Which group is present, and its sign, each (2, count)."""
        one, other = torch.ones_like(label), 2 * label - 1
        if self.rule == "presence":
            return torch.stack([label == 0, label == 1]), torch.stack([one, one])
        if self.rule == "sign":
            return torch.stack([one, 0 * one]), torch.stack([other, one])
        return torch.stack([one, one]), torch.stack([sign, sign * other])

    def _distractors(self, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Distractors, (count, *shape), and the bit that they carry, (count,)."""
        count = len(label)
        bit = torch.randint(2, (count,), generator=generator)
        sign = 2 * torch.randint(2, (count, 2 * self.loud), generator=generator) - 1
        sign = (2 * bit - 1)[:, None].expand_as(sign) if self.paired else sign
        leaking = torch.rand(count, generator=generator) < self.leak
        sign = torch.where(leaking[:, None], (2 * label - 1)[:, None], sign)
        chosen = torch.rand(count, 2 * self.loud, generator=generator).argsort(1).argsort(1) < self.loud
        amount = self.amplitude * self.loudness * sign * chosen
        return torch.einsum("na,a...->n...", amount, self.distracting), bit

    def _background(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise whose amplitude falls as f^-slope, of variance 1, (count, *shape)."""
        noise = torch.randn(count, *self.shape, generator=generator)
        axes = tuple(range(2, noise.ndim))
        grids = torch.meshgrid(*[torch.fft.fftfreq(size) for size in self.shape[1:]], indexing="ij")
        radius = torch.stack(grids).norm(dim=0).clamp(min=1 / max(self.shape[1:]))
        weight = radius**-self.slope
        spectrum = torch.fft.fftn(noise, dim=axes) * weight / weight.square().mean().sqrt()
        return torch.fft.ifftn(spectrum, dim=axes).real

    def shuffled(self, signal: Tensor) -> Tensor:
        """`signal` (count, *shape) with its samples in `order`."""
        return signal.flatten(1)[:, self.order].reshape(signal.shape)


def unit_atoms(frame: Transform, coefficients: Tensor) -> Tensor:
    """T⁻¹ e_k of these coefficients, of norm 1, (atoms, *shape).

    >>> unit_atoms(get("dct", (1, 4)), torch.tensor([0]))
    tensor([[[0.5000, 0.5000, 0.5000, 0.5000]]])
    """
    z = torch.zeros(len(coefficients), math.prod(frame.layout.shape))
    z[torch.arange(len(coefficients)), coefficients] = 1
    atoms = frame.inverse(z.reshape(-1, *frame.layout.shape))
    return atoms / atoms.flatten(1).norm(dim=1).reshape(-1, *[1] * (atoms.ndim - 1))

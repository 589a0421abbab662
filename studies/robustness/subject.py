"""A model in the units in which it is filtered and attacked, and what is measured on a batch of its inputs."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...attribution import Attribution
from ...attribution.call import run
from ..loaders.models import LoadedModel
from ..training.adversarial import attacked
from .octaves import depth, octave_noise, passed, wave, waves
from .settings import Settings
from .spectra import spectra

CLEAN = "clean"
_ROWS = 2**22  # values of the inputs of one forward at most
Count = Callable[[int], None]  # called with the evaluations that were done


class Brightness(nn.Module):
    """A model of normalised pictures as a function of their brightness u in 0…1: u ↦ f((u - mean) / std).

    dtype: of what the model is fed with.

    >>> Brightness(nn.Identity(), torch.tensor([0.5]), torch.tensor([0.25]), torch.double)(torch.tensor([1.0]))
    tensor([2.], dtype=torch.float64)
    """

    mean: Tensor
    std: Tensor

    def __init__(self, inner: nn.Module, mean: Tensor, std: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner, dtype
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.training = getattr(inner, "training", False)

    def forward(self, u: Tensor) -> Tensor:
        found: Tensor = self.inner(((u - self.mean) / self.std).to(self.dtype))
        return found


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier of signals u, (channels, *spatial).

    For pictures whose normalisation is known u is the brightness, and everything is added before the normalisation.
    model: the classifier of u.  domain: in which gradients are read.  unit: of pictures 1; None for the range of an example.
    batch: the only number of inputs that the model accepts; None where any will do.
    """

    model: LoadedModel
    domain: str
    unit: float | None
    settings: Settings
    batch: int | None = None

    def scores(self, u: Tensor, count: Count = lambda done: None) -> Tensor:
        """The scores of u, (batch, classes), without a graph."""
        found = []
        for rows in u.split(self.rows(u)):
            found.append(self.model.classify(rows, self.batch or len(rows)).double())
            count(len(rows))
        return torch.cat(found)

    def rows(self, u: Tensor) -> int:
        """The inputs of one forward."""
        return self.batch or max(1, min(256, _ROWS // u[0].numel()))

    def span(self, u: Tensor) -> Tensor:
        """The unit of noise and attacks, one for each example. Shape: (batch, 1, …)."""
        flat = u.flatten(1)
        size = flat.amax(1) - flat.amin(1) if self.unit is None else torch.full_like(flat[:, 0], self.unit)
        return size.reshape(-1, *[1] * (u.ndim - 1))

    def conditions(self, u: Tensor, label: Tensor, count: Count) -> Iterator[tuple[str, Tensor]]:
        """What is asked again, by name: low-pass and high-pass filters, noise of one octave, and attacks on `label`."""
        span, deepest = self.span(u), depth(u.shape[2:])
        for octave in range(1, deepest + 1):
            yield f"low {octave}", passed(u, octave, low=True)
            yield f"high {octave}", passed(u, octave, low=False)
        for octave in range(1, deepest + 2):
            noise = octave_noise(self._drawn(u, f"noise {octave}", torch.randn), octave, deepest)
            for level in self.settings.levels:
                yield f"noise {octave} {level:g}", u + level * span * noise
        start = 2 * self._drawn(u, "attack", torch.rand) - 1
        for epsilon in self.settings.attacks:
            yield f"attack {epsilon:g}", self._attacked(u, label, start, epsilon * span, count)

    def _attacked(self, u: Tensor, label: Tensor, start: Tensor, epsilon: Tensor, count: Count) -> Tensor:
        steps = self.settings.steps
        low, high = (u.flatten(1).amin(1), u.flatten(1).amax(1)) if self.unit is None else (u.new_zeros(1), u.new_ones(1))
        bounds = [bound.reshape(-1, *[1] * (u.ndim - 1)).expand(len(u), *[1] * (u.ndim - 1)) for bound in (low, high)]
        found = []
        for rows in torch.arange(len(u), device=u.device).split(self.rows(u)):
            own = torch.cat([rows, rows[-1:].expand(self.batch - len(rows))]) if self.batch else rows
            how: Any = {"steps": steps, "step": 2.5 / steps, "low": bounds[0][own], "high": bounds[1][own]}
            moved = attacked(self.model.module, u[own], label[own], start[own], epsilon[own], **how)
            found.append(moved[: len(rows)])
            count(2 * steps * len(rows))
        return torch.cat(found)

    def heat(self, u: Tensor, count: Count) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """Each wave of the Fourier heat map, added with a random phase in each channel.  Source: Yin et al. 2019, §3."""
        found = waves(u.shape[2:])
        phases = 2 * torch.pi * self._drawn(u, "heat", torch.rand, (len(found), u.shape[1]))
        for number, frequency in enumerate(found):
            yield frequency, u + self.settings.wave * self.span(u) * wave(u.shape[2:], frequency, phases[:, number])

    def _drawn(self, u: Tensor, what: str, draw: Callable[..., Tensor], shape: Sequence[int] | None = None) -> Tensor:
        """Random numbers of each example, which depend on its values, `what` and the seed alone. Shape: (batch, *shape)."""
        made = []
        for each in u:
            text = f"{self.settings.seed} {what} ".encode() + each.cpu().contiguous().numpy().tobytes()
            seed = int.from_bytes(hashlib.blake2b(text, digest_size=7).digest())
            made.append(draw(*(shape or each.shape), generator=torch.Generator().manual_seed(seed), dtype=u.dtype))
        return torch.stack(made).to(u.device)

    def gradients(self, u: Tensor, target: Tensor, count: Count) -> tuple[Attribution, Attribution]:
        """∂f/∂z in the domain, and ∇f in the signal, from one stream."""
        options: Any = {"method": self.settings.method, "seed": self.settings.seed, "batch_size": self.rows(u)}
        found = run(self.model.module, u, target, [self.domain, "pixel"], **options)
        count(2 * len(u))
        return Attribution(**found[0]), Attribution(**found[1])


def measured(subject: Subject, u: Tensor, label: Tensor, heat: int, count: Count) -> dict[str, Any]:
    """All that is measured on a batch, as plain data: entries have one number, or one list, for each example.

    label: (batch,), -1 where it is unknown; then the prediction without any change takes its place.
    heat: the number of examples that take part in the Fourier heat map.
    """
    scores = subject.scores(u, count)
    if not bool(scores.isfinite().all()):
        wrong = int((~scores.isfinite()).any(1).nonzero()[0, 0])
        raise ValueError(f"{subject.model.name}: the model returns NaN or infinity for example {wrong} of this batch.")
    predicted = scores.argmax(1)
    truth = label.where(label >= 0, predicted)
    att, own = subject.gradients(u, predicted, count)
    octaves, found = spectra(att, own.values)
    top = scores.topk(2, dim=1).values
    answers = {CLEAN: predicted}
    for name, changed in subject.conditions(u, truth, count):
        answers[name] = subject.scores(changed, count).argmax(1)
    errors = [subject.scores(v, count).argmax(1) != truth[:heat] for _, v in subject.heat(u[:heat], count)] if heat else []
    return {
        "octaves": octaves,
        "spectra": {name: values.tolist() for name, values in found.items()},
        "margin": (top[:, 0] - top[:, 1]).tolist(),
        "truth": truth.tolist(),
        "predicted": {name: values.tolist() for name, values in answers.items()},
        "heat": torch.stack(errors, 1).int().tolist() if errors else [],
    }


def evaluations(settings: Settings, shape: Sequence[int], heated: bool) -> int:
    """The work on one example, in forwards; a gradient counts as two."""
    deepest = depth(shape)
    asked = 1 + 2 * deepest + (deepest + 1) * len(settings.levels) + len(settings.attacks)
    return 2 + asked + 2 * settings.steps * len(settings.attacks) + (len(waves(shape)) if heated else 0)

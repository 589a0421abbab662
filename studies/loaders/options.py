"""What may be said about a model beside its name, in the settings of every study that loads one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from .adapted import read_inputs
from .model_formats import load_model
from .models import LoadedModel


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a model is built, prepared and described; None keeps what it says itself.

    size, mean, std, channels, crop: change its preparation, see `Preparation.changed`.
    kind, rate, window, output: what it takes and returns, see `LoadedModel`.
    arch: where the model is a file of weights: the callable that builds the module, see `load_model`.
    inputs: further inputs of the model, the same for every signal, as "NAME=FILE.npy" or "NAME=NUMBER".

    >>> ModelOptions(size=32).loaded("torch.nn:Flatten").preparation()["size"]
    32
    """

    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int | None = None
    crop: bool | None = None
    device: str = "cpu"
    kind: str | None = None
    rate: float | None = None
    window: int | None = None
    arch: str | None = None
    output: str | None = None
    inputs: tuple[str, ...] = ()

    def loaded(self, spec: str, note: Callable[[str], object] | None = None, kind: str | None = None) -> LoadedModel:
        """The model that `spec` names, as these options say, on its device.  note, errors: as in `load_model`.

        kind: of a model of the user's that says none itself; images otherwise.
        """
        parts = {name: getattr(self, name) for name in ("size", "mean", "std", "channels", "crop")}
        said = {name: getattr(self, name) for name in ("kind", "rate", "window", "output")}
        found = load_model(spec, self.device, arch=self.arch, note=note)
        if self.kind is None and ":" in spec and found.signals.resized:
            said["kind"] = kind
        found = found.described(**said, inputs=read_inputs(self.inputs)).prepared(**parts)
        if self.kind is not None and found.signals.needs_rate and found.rate is None:
            raise ValueError(
                f"Model {spec[:60]!r}: --kind {self.kind} needs --rate (in Python rate=), samples per second that it takes."
            )
        return replace(found, module=found.module.to(self.device))

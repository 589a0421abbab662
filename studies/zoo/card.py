"""What is known about a packaged model or data set before it is used, and one signal of a data set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..kinds import Signal, get_kind


@dataclass(frozen=True)
class Card:
    """The description of a packaged model: what it takes, what its outputs mean, and where it comes from.

    kind: as `LoadedModel.kind`.  channels: of the input.  size: the spatial shape of the input; None where any will do.
    mean, std: the input of an image model is (values in [0, 1] - mean) / std, for each channel or for all.
    rate: samples per second of the input, in Hz; None where there is none.  classes: the name of each output.
    independent: each output has a probability of its own, sigmoid(output); otherwise probabilities are softmax(outputs).
    source: where the weights come from.  install: the command that installs what is needed; "" for nothing.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    source: str
    licence: str
    install: str
    channels: int = 1
    size: tuple[int, ...] | None = None
    rate: float | None = None
    independent: bool = False
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def window(self) -> int | None:
        """The samples of one input that runs in time; None where any number will do."""
        return self.size[0] if self.size and get_kind(self.kind).windowed else None


@dataclass(frozen=True)
class Item:
    """One signal of a data set.

    read: returns it; a signal is kept in memory only as long as its user keeps it.
    label: the place of the class in the data set; None where it is unknown.  class_name: as a model may name the class.
    """

    name: str
    read: Callable[[], Signal]
    label: int | None = None
    class_name: str = ""


@dataclass(frozen=True)
class DataSet:
    """A packaged data set. A call returns an iterator of `Item`s.

    kind: None where it depends on the file, and shows in the number of spatial axes.  argument: what must follow the name, as
    FOLDER in `esc50:FOLDER`; "" for nothing.  install: the commands that install it, one in a line.
    """

    name: str
    kind: str | None
    items: Callable[..., Iterator[Item]]
    licence: str
    install: str
    argument: str = ""

    def __call__(self, *arguments: str) -> Iterator[Item]:
        return self.items(*arguments)

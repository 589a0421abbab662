"""The models and signals for which domains are searched: inputs, and what each shares with others, such as its photo."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.subjects import photos
from pullback.studies import load_model, load_photos
from pullback.studies.zoo.digits import digits_of
from pullback.studies.zoo.fashion_mnist import fashion_of

Subject = tuple[nn.Module, Tensor, Tensor]  # the model, its inputs (examples, *shape), the group of each

PICTURES, DIGITS, VOLUMES = 1_100, 1_000, 200
WINDOW, MOST_WINDOWS, LEAST = 16_384, 4, 0.2  # samples, windows of a recording, probability of the class in a window


def _cuts() -> Subject:
    return load_model("efficientnet-lite0").module, *photos.photos()


def _stamps() -> Subject:
    return load_model("efficientnet-lite0").module, *photos.stamps()


def _fashion(name: str) -> Callable[[], Subject]:
    return lambda: (load_model(name).module, fashion_of("t10k", PICTURES)[0], torch.arange(PICTURES))


def _digits(name: str) -> Callable[[], Subject]:
    return lambda: (load_model(name).module, digits_of(range(400, 500))[0], torch.arange(DIGITS))


def _recordings() -> Subject:
    """Windows of a second, in which YAMNet hears something: those of each recording where its first class is most likely."""
    model, found = load_model("yamnet"), []
    silence = model.classes.index("Silence")
    for number, (_, signal) in enumerate(load_photos("animals", None, model.signals)):
        sound = model.fitted(signal).values
        windows = sound[:, : sound.shape[1] // WINDOW * WINDOW].unflatten(1, (-1, WINDOW)).transpose(0, 1)
        if len(windows):
            with torch.no_grad():
                heard, first = model.module(windows).sigmoid().max(1)
            heard[first == silence] = 0
            best = heard.argsort(descending=True)[:MOST_WINDOWS]
            found += [(number, windows[place]) for place in best.sort().values if heard[place] >= LEAST]
    x, group = torch.stack([part for _, part in found]), torch.tensor([number for number, _ in found])
    return model.whole(x).module, x, group


def _volumes() -> Subject:
    model = load_model("digits3d-net")
    x = torch.stack([model.input(signal) for _, signal in load_photos("digits3d", VOLUMES, model.signals)])
    return model.module, x, torch.arange(len(x))


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "photos": _cuts,
    "stamps": _stamps,
    "fashion-erm": _fashion("fashion-erm-seed0"),
    "fashion-erm-1": _fashion("fashion-erm-seed1"),
    "fashion-pgd": _fashion("fashion-pgd-seed0"),
    "fashion-transformer": _fashion("fashion-transformer"),
    "mnist-erm": _digits("mnist-lenet"),
    "mnist-pgd": _digits("mnist-lenet-robust"),
    "animals": _recordings,
    "digits3d": _volumes,
}

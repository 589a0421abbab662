"""A level that cannot be: the deepest one with a warning where it is the signal itself, an error for a number."""

import warnings

import numpy as np
import pytest
import torch
from support.subjects import normal

from pullback.transforms import get

LEVELS = {"laplacian": "levels"}
MODES = ["periodization", "boundary", "zero", "constant", "symmetric", "reflect", "periodic"]
TOO_SHORT = [  # (transform without its level, shape): nothing deeper than the signal itself exists
    ("dwt(db4, mode=reflect", (1, 5, 64, 48)),
    ("dwt(db20, mode=symmetric", (1, 28, 28)),
    ("dwt(dmey, mode=zero", (3, 32, 32)),
    ("dwt(db3, mode=boundary", (1, 15)),
    *((f"dwt(db2, mode={mode}", (2, 1)) for mode in MODES),
    ("wpt(db2", (2, 1)),
    ("swt(db2", (2, 1, 1)),
    ("dtcwt(14", (2, 1)),
    ("laplacian(a=0.4", (2, 1, 1)),
]
ENOUGH = [("dwt(db2", (1, 40)), *((f"dwt(db2, mode={mode}", (1, 64)) for mode in MODES)]
ENOUGH += [("wpt(haar", (1, 16)), ("swt(haar", (1, 16)), ("dtcwt(14", (1, 16)), ("laplacian(a=0.4", (1, 17))]


def spec(start: str, level: object) -> str:
    return f"{start}, {LEVELS.get(start.split('(')[0], 'level')}={level})"


@pytest.mark.parametrize(("start", "shape"), TOO_SHORT)
@pytest.mark.parametrize("level", ["none", "max", "MAX"])
def test_the_signal_itself_never_comes_in_silence(start: str, shape: tuple[int, ...], level: str) -> None:
    with pytest.warns(UserWarning, match=r"levels? 0, the signal itself, is the deepest for .*; take .* or levels?=0") as said:
        transform = get(spec(start, level), shape)
    x = normal(2, *shape)
    if not start.startswith("dtcwt"):  # which then holds x / √2 twice
        assert torch.equal(transform(x).flatten(), x.flatten())
    assert all(len(str(warning.message)) <= 300 for warning in said)
    assert torch.equal(get(spec(start, 0), shape)(x), transform(x))  # asked for: without a word


@pytest.mark.parametrize(("start", "shape"), [*TOO_SHORT, *ENOUGH])
def test_a_number_that_cannot_be_is_an_error(start: str, shape: tuple[int, ...]) -> None:
    for level in (99, -1):
        with pytest.raises(ValueError, match=r"levels? must lie in 0…\d+ for a signal of .*, got -?\d+; take a smaller"):
            get(spec(start, level), shape)


@pytest.mark.parametrize(("start", "shape"), ENOUGH)
def test_max_is_the_deepest_level_that_exists(start: str, shape: tuple[int, ...]) -> None:
    deepest = get(spec(start, "max"), shape)
    level = getattr(deepest, "levels", None) or deepest.level
    assert level >= 1
    assert get(spec(start, level), shape).spec == deepest.spec
    with pytest.raises(ValueError, match=f"0…{level} "):
        get(spec(start, level + 1), shape)
    default = get(spec(start, "none"), shape)
    assert (getattr(default, "levels", None) or default.level) == min(3, level)
    assert get(spec(start, "max"), np.array(shape)).spec == deepest.spec


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("along(dwt(haar), axes=0)", (1, 8)),
        ("per_axis(dwt(haar), none)", (1, 8)),
        ("restrict(swt(haar), crop=[[3, 4]])", (1, 8)),
        ("pixel >> dwt(db4, mode=symmetric)", (1, 6)),
        ("inverse_of(wpt(haar))", (3, 1)),
    ],
)
def test_the_rule_holds_inside_other_transforms(text: str, shape: tuple[int, ...]) -> None:
    with pytest.warns(UserWarning, match="level 0, the signal itself"):
        get(text, shape)


def test_a_packet_tree_has_at_most_65536_bands() -> None:
    assert get("wpt(haar, level=max)", (1, 1, 4, 2048)).level == 5  # 8^5 bands, not 8^11
    with pytest.raises(ValueError, match="0…8 "):
        get("wpt(haar, level=9)", (1, 512, 512))


def test_ordinary_signals_get_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape in ((1, 44_100), (3, 224, 224), (1, 28, 28), (1, 16, 16, 16), (2, 7)):
            for text in ("dwt(haar)", "dwt(db4)", "wpt(db2)", "swt(haar)", "laplacian"):
                get(text, shape)

"""Any argument of any transform: taken, or refused in one sentence of this library, at once and before memory is asked for."""

import functools
import inspect
import itertools
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from safetensors.torch import save_file
from support.subjects import TRANSFORMS, normal

import pullback as pb
from pullback.core.spec import parse
from pullback.transforms import Compose, Operator, Wrap, frame_bounds, get, names
from pullback.transforms.registry import transforms


class Rude:
    def __repr__(self) -> str:
        raise KeyError("rude")

    def __len__(self) -> int:
        raise IndexError("rude")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


NUMBERS = [-1, -(10**30), 0, 1, 7, 10**12, 10**400, float("nan"), float("inf"), -0.5, 8.7, 8.0, True, False, 1j]
TEXTS = [None, "", "a", "max", "8", "\0", "x" * 1_000_000, b"8", "(" * 1000, "none"]
LISTS: list[Any] = [
    [],
    [[]],
    [[1]],
    [None],
    [1, 1],
    [0.5],
    ["a"],
    [[1, 2], [3]],
    [[0, 10**12]],
    nested(5000),
    (),
    {},
    {1},
    {"a": 1},
]
ARRAYS = [
    np.array(3),
    np.array([]),
    np.float32(2),
    np.int64(-3),
    np.array([[1, 2]]),
    torch.tensor([1.0, 2.0]),
    torch.eye(4) * 1j,
]
OTHERS = [object(), Rude(), int, range(10**9), itertools.count(), pywt.ContinuousWavelet("morl"), [[0.0] * 2] * 4]
HOSTILE = [*NUMBERS, *TEXTS, *LISTS, *ARRAYS, *OTHERS]
SHAPES = [(), (1, 0), (1, -4), (1, 10**11), (3, 200_000, 200_000), (10**9, 10**9), (1,) * 40, (1, 2**70), (1, float("nan"))]
LEADING = {
    "along": ["dct"],
    "inverse_of": ["dct"],
    "restrict": ["dct"],
    "linear": [np.eye(16)],
    "per_axis": ["dct", "dct"],
    "pca": ["x"],
    "block_linear": [np.eye(8)],
    "subband_linear": [{"a1": np.eye(1), "d1": np.eye(1)}, "dwt(haar, level=1)"],
}
LIBRARY = Path(pb.__file__).parent.resolve()


def outcome(call: Callable[[], object], seconds: float = 1) -> str:
    """ "taken", "refused", or what is wrong with the error."""
    start = time.process_time()
    try:
        with warnings.catch_warnings(action="ignore"):
            call()
        found = "taken"
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raised = Path(last.filename).resolve()
        said = str(last.line).startswith("raise ") and "tests" not in raised.parts  # torch's own errors end at another line
        ours = raised.is_relative_to(LIBRARY) and said and type(error) in (ValueError, TypeError)
        short = len(str(error)) <= 300 and "\n" not in str(error)
        found = "refused" if ours and short else f"{type(error).__name__} from {raised.name}: {str(error)[:400]}"
    except Exception as error:
        found = f"{type(error).__name__}: {str(error)[:200]}"
    return found if time.process_time() - start < seconds else f"{found}, but it took more than a second"


def wrong(calls: dict[str, Callable[[], object]]) -> dict[str, str]:
    found = {name: outcome(call) for name, call in calls.items()}
    return {name: fault for name, fault in found.items() if fault not in ("taken", "refused")}


def named(value: object) -> str:
    return pb.core.checks.quoted(value)[:40]


@pytest.mark.parametrize("name", names())
def test_every_argument_of_every_family(name: str) -> None:
    maker, leading = transforms.maker(name), LEADING.get(name, [])
    parameters = list(inspect.signature(maker).parameters.values())[1:]
    calls: dict[str, Callable[[], object]] = {}
    for number, value in enumerate([*HOSTILE, *SHAPES]):
        calls[f"{number} shape={named(value)}"] = lambda value=value: maker(value, *leading)  # type: ignore[misc]
    for number, value in enumerate(HOSTILE):
        for place, parameter in enumerate(parameters):
            if parameter.kind is parameter.VAR_POSITIONAL:
                given = lambda value=value: maker((1, 16), value, "none")  # type: ignore[misc]
            else:
                given = (
                    lambda place=place, key=parameter.name, value=value: maker(  # type: ignore[misc]
                        (1, 16), *leading[:place], **{key: value} | dict(zip([p.name for p in parameters[1:]], leading[1:]))
                    )
                )
            calls[f"{number} {parameter.name}={named(value)}"] = given
    assert wrong(calls) == {}


FIRST = {t.spec.split("(")[0]: t for t in reversed(TRANSFORMS)}


@pytest.mark.parametrize("transform", FIRST.values(), ids=FIRST)
def test_every_call_of_every_family(transform: pb.transforms.Transform) -> None:
    shape = transform.shape
    values = [*HOSTILE, torch.zeros(0, *shape), torch.zeros(2, *shape, dtype=torch.int64), torch.zeros(2, *shape) > 0]
    ways = ["__call__", "inverse", "adjoint", "unpack", "pack", "to_pywt", "from_pywt", "to_ptwt", "from_ptwt"]
    calls: dict[str, Callable[[], object]] = {}
    for way, (number, value) in itertools.product(ways, enumerate(values)):
        if hasattr(transform, way):
            calls[f"{way} {number} {named(value)}"] = lambda way=way, value=value: getattr(transform, way)(value)  # type: ignore[misc]
    assert wrong(calls) == {}


def test_other_doors() -> None:
    dct, same = get("dct", (1, 4)), lambda x: x
    fit = pb.transforms.PCA.fit
    doors: dict[str, Callable[[Any], object]] = {
        "get": lambda v: get(v, (1, 16)),
        "get shape": lambda v: get("dct", v),
        "get of a transform": lambda v: get(dct, v),
        "Operator shape": lambda v: Operator(v, same, same),
        "Operator forward": lambda v: Operator((1, 4), v, same),
        "Operator transpose": lambda v: Operator((1, 4), same, same, transpose=v),
        "Operator layout": lambda v: Operator((1, 4), same, same, layout=v),
        "Operator seed": lambda v: Operator((1, 4), same, same, seed=v),
        "forward gives": lambda v: Operator((1, 4), lambda x: v, same),
        "inverse gives": lambda v: Wrap((1, 4), same, lambda z: v),
        "Wrap residual": lambda v: Wrap((1, 4), same, same, residual=v),
        "Wrap probe": lambda v: Wrap((1, 4), same, same, probe=v),
        "Wrap layout": lambda v: Wrap((1, 4), same, same, layout=v),
        "PCA.fit": fit,
        "PCA.fit components": lambda v: fit(normal(9, 1, 4), v),
        "PCA.fit whiten": lambda v: fit(normal(9, 1, 4), whiten=v),
        "PCA.fit floor": lambda v: fit(normal(9, 1, 4), floor=v),
        "PCA.load": pb.transforms.PCA.load,
        "Compose": Compose,
        "Compose second": lambda v: Compose(dct, v),
        "inverse_of": pb.transforms.inverse_of,
        "frame_bounds": frame_bounds,
        "frame_bounds tol": lambda v: frame_bounds(dct, tol=v),
        "frame_bounds iterations": lambda v: frame_bounds(dct, iterations=v),
        "group": dct.layout.group,
        "sum": dct.layout.sum,
        "Pullback": lambda v: pb.Pullback(same, v),
        "Pullback call": lambda v: pb.Pullback(same, dct)(v),
    }
    skipped = {("Operator forward", "type")}  # the error of a map of the user is the user's
    calls = {
        f"{door} {number} {named(value)}": lambda call=call, value=value: call(value)  # type: ignore[misc]
        for door, call in doors.items()
        for number, value in enumerate(HOSTILE)
        if (door, type(value).__name__) not in skipped
    }
    assert wrong(calls) == {}


def test_a_long_spec_is_shortened_in_every_message() -> None:
    long = pb.transforms.DWT((1, 256), pywt.Wavelet("mine", filter_bank=pywt.Wavelet("db20").filter_bank), 1)
    assert len(long.spec) > 3000
    for wrong in (torch.zeros(2, 3, 4, dtype=torch.int64), torch.zeros((1,) * 40), "x"):
        for way in (long, long.inverse, long.adjoint, lambda x: get(long, (1, 5)), lambda x: Compose(long, get("dct", (1, 3)))):
            assert outcome(lambda way=way, wrong=wrong: way(wrong)) == "refused"  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        "dct" + " " * 20_000 + "!",
        " " * 10_000_000,
        "along(" * 100_000 + "dct" + ")" * 100_000,
        "[" * 100_000,
        "dct(" + "[" * 40 + "]" * 40 + ")",
        "dct(" + "-" * 90_000 + "1)",
        "dct(" + "not " * 20_000 + "1)",
        "dct(" + "1+" * 40_000 + "1)",
        "dct(" + "9" * 90_000 + ")",
        " >> ".join(["dct"] * 20_000),
        "dct >> " * 101 + "dct",
        "dct(" + "1," * 45_000 + "1)",
        "dct('" + "a" * 90_000,
        "\\" * 90_000,
        "a." * 45_000,
        "dct(" + "a=1," * 20_000 + ")",
        "dct(a=1, a=2)",
        "dct(a=1, 2)",
        "dct(]",
        "dct)(",
        "dct([1, 2)",
        "dct(\0)",
        "x" * 90_000,
        "dct(" + "x" * 90_000 + "=1)",
        "dwt('" + "x" * 90_000 + "')",
        "dct(__class__=1)",
        "dct([1, 2] 3)",
        "",
        ">>",
        "dct >>",
        "dct()()",
        "dct(type=1e999)",
        "dct(type=0x)",
    ],
)
def test_hostile_specs(text: str) -> None:
    assert outcome(lambda: get(text, (1, 8))) == "refused"


def test_the_work_of_reading_a_spec_is_in_proportion_to_its_length() -> None:
    def calls(count: int) -> int:
        """Calls of functions, counted, and not timed: quadratic work in Python calls quadratically often."""
        spec, made = "a(" + "[1, b, 'c'], " * count + " " * count + "1)", [0]

        def count_one(*_: Any) -> None:
            made[0] += 1

        before = sys.getprofile()
        sys.setprofile(count_one)
        try:
            found = parse(spec)
        finally:
            sys.setprofile(before)
        assert len(found[0].args) == count + 1
        return made[0]

    calls(10)
    assert calls(6_000) < 11 * calls(600)


def test_raw_and_long_and_slow_errors_are_noticed() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert outcome(lambda: [][1]) == "IndexError: list index out of range"  # type: ignore[misc]
    assert outcome(lambda: torch.zeros("a")).startswith("TypeError")  # type: ignore[call-overload]
    assert outcome(lambda: fail(ValueError("of this file"))).startswith("ValueError from")
    assert outcome(lambda: get("dct", (1, 8))) == "taken"
    assert outcome(lambda: get("dct(" + " " * 90_000 + ")", (1, 8))) == "taken"
    assert outcome(lambda: get("cosine", (1, 8))) == "refused"
    assert outcome(lambda: sum(range(10_000)), seconds=0).endswith("more than a second")


def test_nested_transforms_within_the_limits_are_built() -> None:
    assert get("along(" * 30 + "dct" + ", axes=-1)" * 30, (1, 8)).layout.shape == (1, 8)
    assert get(" >> ".join(["dct"] * 100), (1, 4)).layout.shape == (1, 4)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("stft(hann, size=1000000000000)", (1, 1000)),
        ("stft(hann, size=1000000, hop=1)", (1, 1_000_000)),
        ("swt(haar, level=9)", (1, 512, 512, 512)),
        ("dtcwt(level=5)", (3, 16_000, 16_000)),
        ("wpt(haar, level=12)", (1, 4096, 1, 1)),
        ("dct", (1, 10**11)),
        ("dwt(haar)", (3, 10**6, 10**6)),
        ("restrict(dct, crop=[[0, 4]])", (1, 10**11)),
        ("per_axis(stft(hann, size=1024, hop=1), none)", (10**6, 200)),
        ("laplacian", (1, 2**14, 2**15)),
    ],
)
def test_a_transform_that_is_too_large_is_refused_before_anything_is_allocated(spec: str, shape: tuple[int, ...]) -> None:
    assert outcome(lambda: get(spec, shape)) == "refused"


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(127) + b"\n"
    (tmp_path / "large.npy").write_bytes(header)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "objects.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    (tmp_path / "text.safetensors").write_text("no tensors")
    save_file({"basis": torch.eye(4), "variances": torch.ones(4), "mean": torch.zeros(4)}, tmp_path / "bare.safetensors")
    for number, options in enumerate(
        ["[" * 5000, "3", "{}", '{"shape": 3}', '{"shape": [1, 5], "rest": false, "whiten": false, "floor": 1}']
    ):
        file = tmp_path / f"pca{number}.safetensors"
        save_file({"basis": torch.eye(4), "variances": torch.ones(4), "mean": torch.zeros(4)}, file, {"pca": options})
    specs = [f"{name}({str(file)!r})" for file in [*tmp_path.iterdir(), tmp_path] for name in ("linear", "pca")]
    assert {spec: found for spec in specs if (found := outcome(functools.partial(get, spec, (1, 4)))) != "refused"} == {}

"""Checks of arguments: whose mistake it is, what was expected, what came."""

import re

import numpy as np
import pytest
import torch

from pullback.core.checks import check_count, check_finite, check_number, check_seed, choose, not_finite, quoted, whole


@pytest.mark.parametrize("value", [1.0, "3", None, True, [2]])
def test_a_count_that_is_not_a_whole_number_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match=re.escape(f"rise: masks must be a whole number of at least 1, got {value!r}.")):
        check_count("rise", "masks", value)


@pytest.mark.parametrize(("value", "least", "multiple"), [(0, 1, 1), (3, 4, 1), (6, 4, 4)])
def test_a_count_that_is_too_small_or_no_multiple_is_a_value_error(value: int, least: int, multiple: int) -> None:
    with pytest.raises(ValueError, match=f"at least {least}.*got {value}") as error:
        check_count("mdct", "size", value, least, multiple)
    assert ("a multiple of" in str(error.value)) == (multiple > 1)


def test_a_good_count_comes_back() -> None:
    assert check_count("mdct", "size", 8, 4, 4) == 8
    assert check_count("laplacian", "levels", 0, 0) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, "1", True])
def test_numbers_are_finite_and_in_range(value: object) -> None:
    with pytest.raises(ValueError, match="spread must be a finite number of at least 0"):
        check_number("smoothgrad", "spread", value, 0)
    check_number("smoothgrad", "spread", 0.5, 0)
    check_number("mdct", "alpha", 100, 0, 100)
    with pytest.raises(ValueError, match="alpha must be a finite number from 0 to 100, got 101"):
        check_number("mdct", "alpha", 101, 0, 100)


def test_the_first_example_that_is_not_finite_is_named() -> None:
    x = torch.zeros(4, 3)
    assert not_finite(x) is None
    assert check_finite("x", x) is x
    x[2, 1], x[3, 0] = torch.nan, torch.inf
    assert not_finite(x) == 2
    with pytest.raises(ValueError, match="x: example 2 holds NaN or infinity"):
        check_finite("x", x)


@pytest.mark.parametrize(
    "value", [3, np.int8(3), np.uint64(3), np.array(3), torch.tensor(3), torch.tensor(3, dtype=torch.uint8)]
)
def test_whole_numbers_come_back_as_those_of_python(value: object) -> None:
    assert type(whole(value)) is int
    assert type(check_count("rise", "masks", value)) is int
    assert check_seed("rise", value) == 3


@pytest.mark.parametrize(
    "value", [3.0, np.float64(3), True, np.bool_(True), torch.tensor(True), torch.tensor(3.0), "3", None, [3], 3j]
)
def test_other_values_are_no_whole_numbers(value: object) -> None:
    assert whole(value) is None


@pytest.mark.parametrize("value", [np.float16(0.5), np.float32(0.5), np.float64(0.5), 0.5])
def test_real_numbers_come_back_as_those_of_python(value: object) -> None:
    assert type(check_number("mdct", "alpha", value)) is float
    for wrong in (np.float32("nan"), np.bool_(True), 10**400, 1j, None):
        with pytest.raises(ValueError, match="must be a finite number"):
            check_number("mdct", "alpha", wrong)


def test_seeds_have_a_range() -> None:
    for wrong in (-1, 2**63, 1.0):
        with pytest.raises((ValueError, TypeError), match="rise: seed must be"):
            check_seed("rise", wrong)


def test_choices_in_any_case() -> None:
    assert choose("dwt", "mode", "ZERO", ("zero", "reflect")) == "zero"
    for wrong in ("one", 0, None, ["zero"]):
        with pytest.raises(ValueError, match="dwt: expected mode in zero, reflect; got"):
            choose("dwt", "mode", wrong, ("zero", "reflect"))


def test_messages_repeat_little_of_any_value() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (
        "x" * 10**6,
        [1] * 10**6,
        deep,
        10**10_000,
        torch.zeros(50, 50),
        np.zeros(10**6),
        {i: i for i in range(10**5)},
    ):
        assert len(quoted(value)) <= 80
        assert "\n" not in quoted(value)
    assert [quoted(v) for v in ("db4", 3, [1, None], (2.5,))] == ["'db4'", "3", "[1, None]", "(2.5,)"]

"""Checks of arguments: whose mistake it is, what was expected, what came."""

import re

import pytest
import torch

from pullback.core.checks import check_count, check_finite, check_number, not_finite


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

"""Every transform can be built by its name alone, for every size from 16 samples on and every number of axes it takes."""

import pytest
import torch
from support.subjects import normal

from pullback.transforms import Transform, get, names

ONE_AXIS = ("stft", "mdct")
TWO_AXES = ("dtcwt",)
# Transforms that take another one.
NEEDS = {
    "along": "along(dct, axes=1)",
    "inverse_of": "inverse_of(dct)",
    "restrict": "restrict(dct)",
}
NO_DEFAULT = ("linear", "block_linear", "subband_linear", "pca", "per_axis")  # they need matrices, data, or transforms
NAMES = [name for name in names() if name not in NO_DEFAULT]


def build(name: str, *sizes: int) -> Transform:
    return get(NEEDS.get(name, name), (3, *sizes))


def reconstructs(transform: Transform) -> None:
    x = normal(1, *transform.shape)
    torch.testing.assert_close(transform.inverse(transform(x)), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_one_axis(name: str) -> None:
    for n in range(16, 34):
        reconstructs(build(name, n))


@pytest.mark.parametrize("name", NAMES)
def test_two_axes(name: str) -> None:
    for n in range(16, 34):
        if name in ONE_AXIS:
            with pytest.raises(ValueError, match="1 signal axes"):
                build(name, n, 49 - n)
        else:
            reconstructs(build(name, n, 49 - n))


@pytest.mark.parametrize("name", NAMES)
def test_three_axes(name: str) -> None:
    for sizes in ((16, 17, 18), (19, 33, 16)):
        if name in (*ONE_AXIS, *TWO_AXES):
            with pytest.raises(ValueError, match="signal axes"):
                build(name, *sizes)
        else:
            reconstructs(build(name, *sizes))


@pytest.mark.parametrize("name", NO_DEFAULT)
def test_a_transform_without_a_default_says_what_is_missing(name: str) -> None:
    with pytest.raises(ValueError, match=r"missing a required argument: 'matri(x|ces)'|not fitted yet|expected one transform"):
        get(name, (3, 16))

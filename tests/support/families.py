"""What is tested of every family of transforms in the same way, and the sizes on which it is."""

import copy
import pickle

import pytest
import torch
from hypothesis import strategies as st

import pullback as pb
from pullback.transforms import Transform
from support.subjects import normal

SIZES = st.one_of(
    st.tuples(st.integers(1, 33)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
)


def get(spec: str, *shape: int) -> Transform:
    """The transform for signals of this shape."""
    return pb.transforms.get(spec, shape)


def runs_in_single_precision(transform: Transform, dtype: torch.dtype) -> None:
    """Half and single precision are carried out in single precision."""
    x = normal(2, *transform.shape, dtype=dtype)
    z = transform(x)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.double(), transform(x.double()), rtol=0, atol=2e-6 * float(x.double().norm()))
    torch.testing.assert_close(transform.inverse(z), x.float(), rtol=0, atol=1e-5)


def can_be_copied_and_moved(transform: Transform) -> None:
    """A copy that was pickled gives the same numbers, and constants follow the input to its device."""
    x = normal(1, *transform.shape)
    again = pickle.loads(pickle.dumps(copy.deepcopy(transform)))
    assert torch.equal(again(x), transform(x))
    assert transform.inverse(transform(x.to("meta"))).is_meta


def has_gradients(transform: Transform) -> None:
    """Derivatives of T and of T⁻¹ are those of finite differences."""
    assert torch.autograd.gradcheck(transform, normal(1, *transform.shape).requires_grad_())
    assert torch.autograd.gradcheck(transform.inverse, normal(1, *transform.layout.shape).requires_grad_())


def refuses_complex_and_whole_numbers(transform: Transform) -> None:
    """Signals that are not real are refused, with advice."""
    with pytest.raises(ValueError, match="real and imaginary parts as two channels"):
        transform(torch.zeros(1, *transform.shape, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"\.float\(\)"):
        transform(torch.zeros(1, *transform.shape, dtype=torch.int64))

"""Of a long sound the front end of YAMNet makes some frames at a time, with the same numbers."""

import pytest
import torch
from torch import Tensor

from pullback.studies.zoo import log_mel
from pullback.studies.zoo.log_mel import RATE, LogMelPatches


class Watched(LogMelPatches):
    """It notes how many frames it makes at a time."""

    widest = 0

    def _loudness(self, frames: Tensor) -> Tensor:
        self.widest = max(self.widest, len(frames))
        return super()._loudness(frames)


def test_patches_in_parts_are_those_at_once_with_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    front, x = Watched().double(), torch.randn(2, 1, 3 * RATE, dtype=torch.double).requires_grad_()
    whole = front(x)
    weight = torch.randn_like(whole)
    assert front.widest == 2 * 298  # all frames of both
    front.widest = 0
    monkeypatch.setattr(log_mel, "AT_ONCE", 40)
    parts = front(x)
    first, second = (torch.autograd.grad((found * weight).sum(), x)[0] for found in (whole, parts))
    assert torch.allclose(parts, whole, rtol=0, atol=1e-12)
    assert torch.allclose(first, second, rtol=0, atol=1e-12)
    assert 0 < front.widest <= 40

"""Models that take (batch, time, features): the same map as of the model with channels first, by `along`."""

import pytest
import torch
from support.compare import close
from torch import Tensor, nn

import pullback as pb


class Last(nn.Module):
    """The scores at the last time of a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.cells(x)[0][:, -1])
        return found


def test_a_transform_along_axis_0_runs_over_time() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = Last().double().eval(), torch.randn(2, 16, 3).double()
    options = {"method": "integrated_gradients(steps=8)"}
    ours = pb.attribute(model, x, 1, transform="along(dct, axes=0)", **options)
    first = pb.attribute(lambda x: model(x.mT), x.mT, 1, transform="dct", **options)
    close(ours.values, first.values.reshape(2, 3, 16).mT.reshape(ours.values.shape))
    with pytest.warns(UserWarning, match="16 channels, and 3 samples .* along"):
        other = pb.attribute(model, x, 1, transform="dct", **options)  # over the features
    assert not torch.allclose(other.values.reshape(2, 16, 3), ours.values.reshape(2, 16, 3))

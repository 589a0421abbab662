"""CREPE hears the pitch of a tone within its steps of 20 cents."""

import math

import pytest
import torch
from support.zoo import installed

from pullback.studies.zoo import MODELS


@pytest.mark.parametrize("name", ["crepe", "crepe-tiny"])
def test_the_pitch_of_a_tone_is_heard(name: str) -> None:
    module, card = installed(MODELS[name])
    for hertz in (110, 440, 987.8):
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(4096) / card.rate)[None, None]
        with torch.no_grad():
            heard = float(card.classes[int(module(tone).argmax())].split()[0])
        assert abs(1200 * math.log2(heard / hertz)) < 30, hertz


def test_loudness_does_not_change_the_pitch() -> None:
    module, _ = installed(MODELS["crepe-tiny"])
    tone = torch.sin(torch.arange(1024) / 7)[None, None]
    with torch.no_grad():
        assert torch.allclose(module(tone), module(0.01 * tone), atol=1e-2)
        assert torch.equal(module(tone), module(torch.nn.functional.pad(tone, (0, 0))))

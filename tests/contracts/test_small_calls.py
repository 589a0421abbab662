"""What one call costs beside its gradients: counted, since times depend on the machine."""

from collections import Counter
from typing import Any

import pytest
from support.subjects import AsModule, normal

import pullback as pb
from pullback.transforms import Transform

DOMAINS = ["pixel", "dwt(db4, level=2)", "dct", "dft"]
OF_THE_DRY_RUN = 5  # rows: x and x₀; x again beside the middle of the path; and the middle after the run


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a transform is built, and applied in each direction."""
    counts: Counter[str] = Counter()

    def watch(name: str) -> None:
        own: Any = getattr(Transform, name)
        monkeypatch.setattr(Transform, name, lambda *given, **how: (counts.update([name]), own(*given, **how))[1])

    for name in ("__init__", "forward", "inverse", "adjoint"):
        watch(name)
    return counts


@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "smoothgrad(samples=3)", "integrated_gradients(steps=3)"])
@pytest.mark.parametrize("domains", [DOMAINS[1:2], DOMAINS])
def test_one_call_reads_the_model_five_times_more_and_every_domain_once(
    counted: Counter[str], method: str, domains: list[str]
) -> None:
    rows: list[int] = []
    model = AsModule(lambda x: (rows.append(len(x)), x.flatten(1).square().sum(1))[1])
    maps = pb.attribute(model, normal(1, 3, 16, 16), method=method, transform=domains)
    gradients = 1 if "gradient" in method and "(" not in method else 3
    assert sum(rows) == gradients + OF_THE_DRY_RUN
    assert maps[0].settings["evaluations"] == {"forward": OF_THE_DRY_RUN, "gradient": gradients}
    assert counted["forward"] == counted["adjoint"] == len(domains)
    assert counted["inverse"] == 0
    once = Counter(counted)
    counted.clear()
    for domain in domains:
        pb.transforms.get(domain, (3, 16, 16))
    assert once["__init__"] == counted["__init__"]  # each domain is built as often as by hand


def test_the_counters_see_a_transform_that_is_used_twice(counted: Counter[str]) -> None:
    x = normal(1, 3, 16, 16)
    for _ in range(2):
        pb.transforms.get("dct", (3, 16, 16))(x)
    assert counted["forward"] == 2
    assert counted["__init__"] > 0

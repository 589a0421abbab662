"""The engine is the only code that runs the model: by the source, and by asking a model who called it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest
from support.every_method import SHAPE, methods, run
from support.source import builders, library, model_calls
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import Estimate, Estimator, Evaluator, Gradient
from pullback.metrics import kept_score

HOME = "attribution/engine/"
CLASSES = ("Rows", "Engine")
LIBRARY = library()
FOLDER = Path(pb.__file__).parent


def test_nobody_builds_the_engine_elsewhere() -> None:
    assert builders(LIBRARY, CLASSES, HOME) == set()


@pytest.mark.parametrize(
    "text",
    [
        "rows = Rows(model, score)",
        "rows = engine.rows.Rows(model, score)",
        "rows = Engine.of(model)",
        "from .engine.rows import Rows as Runner\nrows = Runner(model)",
        "make = Rows",
        "make = partial(Rows, model)",
        "make = build(kind=rows.Rows)",
        "def late():\n    return [Engine(model) for model in models]",
    ],
)
def test_every_way_to_build_the_engine_is_seen(text: str) -> None:
    assert builders({"metrics/new.py": text}, CLASSES, HOME) == {"metrics/new.py"}
    assert not builders({"attribution/engine/new.py": text}, CLASSES, HOME)


@pytest.mark.parametrize(
    "text",
    [
        "from ..attribution.engine.rows import Rows",
        "def values(rows: Rows) -> 'Engine':\n    return rows.scores(x)",
        "if isinstance(model, Engine):\n    pass",
        "rows = engine.open_engine(model, x, target)",
    ],
)
def test_the_engine_may_be_named_and_opened_everywhere(text: str) -> None:
    assert not builders({"metrics/new.py": text}, CLASSES, HOME)


def test_no_source_outside_the_engine_calls_a_model() -> None:
    assert model_calls(LIBRARY, HOME) == set()
    text = "y = model(x)\nz = self.model(x)\nw = a.b._model(x)\nclass W:\n    def forward(self):\n        self.model(x)"
    assert model_calls({"axioms/new.py": text.replace("a.b", "self")}, HOME) == {
        "axioms/new.py: model",
        "axioms/new.py: self.model",
        "axioms/new.py: self._model",
    }
    assert not model_calls({"attribution/engine/new.py": text}, HOME)


class Asked(nn.Module):
    """A model that notes, for each call, which file of the library asked for it. Copies of it share the notes."""

    def __init__(self, shape: tuple[int, ...] = SHAPE) -> None:
        super().__init__()
        self.inner, self.callers = smooth_net(shape), _Notes()

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, Tensor):  # torch.fx, which reads a model's layers, passes none
            self.callers.add(_asking(sys._getframe(1)))
        out: Tensor = self.inner(x)
        return out


class _Notes(set[str]):
    def __deepcopy__(self, _: object) -> "_Notes":
        return self


def _asking(frame: FrameType | None) -> str:
    """The innermost file of the library on the stack, apart from modules that hand their input on to the model."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        name = path.relative_to(FOLDER).as_posix() if path.is_relative_to(FOLDER) else ""
        if name in LIBRARY and frame.f_code.co_name != "forward":
            return name
        frame = frame.f_back
    return "nobody"


def strangers(model: Asked) -> set[str]:
    assert model.callers
    return {caller for caller in model.callers if not caller.startswith(HOME)}


@methods
def test_attribute_runs_the_model_by_the_engine_alone(method: Estimator) -> None:
    run(model := Asked(), normal(2, *SHAPE), method)
    assert not strangers(model)


def test_metrics_and_axioms_run_the_model_by_the_engine_alone() -> None:
    model, x = Asked((1, 12)), normal(2, 1, 12)
    att = pb.attribute(model, x, 1, method="input_x_gradient", transform="dct")
    kept_score(model, att, 1)
    assert pb.axioms.check(model, x, 1, method="integrated_gradients(steps=8)", transform="dct").findings
    assert not strangers(model)


@dataclass(frozen=True)
class HoldsAModel(Gradient):
    """The control: an estimator that calls a model by itself."""

    model: Callable[[Tensor], Tensor]

    def estimate(self, evaluator: Evaluator) -> Estimate:
        self.model(evaluator.signal)
        return super().estimate(evaluator)


def test_an_estimator_that_calls_a_model_itself_is_seen() -> None:
    model = Asked((1, 12))
    pb.attribute(model, normal(2, 1, 12), 1, method=HoldsAModel(model))
    assert len(strangers(model)) == 1

"""`check`: the laws of a method on the user's own model; `parametrize`: the same laws as pytest parameters."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..attribution import Estimator
from ..attribution.call import BaselineLike, resolve_baseline
from ..attribution.engine.check_model import check_model, feed_dtype
from ..attribution.engine.open import open_engine
from ..attribution.engine.score import Score, Target, table
from ..attribution.estimator import get as get_estimator
from ..attribution.targets import Choice
from ..core.checks import is_number
from ..core.precision import full_products
from ..core.progress import Progress
from ..transforms import Transform
from ..transforms import get as get_transform
from .cheap_forms import fixed
from .method_laws import LAWS, NAMES, MethodLaw, judge
from .report import AxiomReport, Finding
from .rewrites.modules import CallableModule, small_network
from .transform_laws import check_transform
from .trial import Case, Foreign, Trial
from .validate_map import short

if TYPE_CHECKING:
    import pytest

Subject = str | Estimator | Foreign


def check(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    method: Subject = "integrated_gradients",
    transform: str | Transform = "pixel",
    baseline: BaselineLike = None,
    axioms: str | Sequence[str] = "all",
    seed: int = 0,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> AxiomReport:
    """Measures which axioms `method` keeps on `model` at x, in the coordinates of T.

    model: (rows, *shape) -> output; a copy of it is judged on, in eval mode.  x: (batch, *shape).
    target: as in `attribute`; classes that depend on the output, as in `targets.predicted()`, are settled at x.
    method: a spec such as "integrated_gradients(steps=64)", an Estimator, or any callable (f, x, target, x0) -> tensor
    of x's shape. There f is an nn.Module from z to the model's output, a fresh copy for each call; x and x0 are z = T x
    and z₀ = T x₀; target is one class per example, an int64 tensor (batch,), or the callable or None that was given.
    baseline: x₀, as in `attribute`.
    axioms: "all", "promised" (what an estimator claims, and what every method must keep), a name or a list of names.
    tolerance: replaces the measured tolerances: the largest residual that is granted to each law.
    progress: called with (axioms measured, axioms asked).

    Laws that hold at any number of nodes or samples are asked of our own methods in a brief form; the report names it.
    Below double precision, what rounding in the model might explain is settled in double precision.
    A law that cannot be measured is "not applicable" and says why; it never stops the others. Where the method returns what
    is no map (no tensor, not real, not dense, of another shape or device, NaN) the verdict is "UNUSABLE" and says what
    came. Nothing of the caller's is changed, and what a callable would have left behind is named in the notes.
    Raises: TypeError or ValueError where the question itself makes no sense.

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 3)).double().eval()
    >>> x = torch.linspace(-1, 1, 16).double().reshape(2, 1, 8)
    >>> report = pb.axioms.check(model, x, 0, method="integrated_gradients(steps=4)", transform="dct", axioms="promised")
    >>> report.faults
    ()
    >>> pb.axioms.check(model, x, 0, method="gradient", axioms="completeness").holds("completeness")
    False
    """
    subject = _subject(method)
    laws = _laws(axioms, subject)
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2 or x.numel() == 0:
        got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"check: x must be a floating-point tensor (batch, *shape) that is not empty, got {got}.")
    if not callable(model):
        raise TypeError(f"check: model must be a module or another callable, got {type(model).__name__}.")
    if tolerance is not None and (not is_number(tolerance) or not 0 <= tolerance < float("inf")):
        raise ValueError(
            f"check: tolerance, the largest residual to be granted, must be at least 0, got {tolerance!r}."
        )
    domain = get_transform(transform, tuple(x.shape[1:]))
    with torch.inference_mode(False), torch.no_grad(), full_products(x):
        x = x.detach().clone()
        feed_dtype(model, x.dtype)
        network = copy.deepcopy(model) if isinstance(model, nn.Module) else CallableModule(model)
        given, notes = _eval(network)
        base = resolve_baseline(baseline, x)
        case = Case(network, x, base, settled(target, network, x), domain)
        trial = Trial(subject, case, given, baseline, seed, tolerance)
        findings: list[Finding] = []
        report: Progress = progress or (lambda done, planned: None)
        report(0, len(laws))
        for law in laws:
            findings.append(judge(law, trial))
            report(len(findings), len(laws))
        notes = (*notes, *_notes(trial))
    return AxiomReport(
        f"{name_of(subject)} on {type(model).__name__}, {domain.spec}, {len(x)} examples of shape "
        f"{tuple(x.shape[1:])}, {str(x.dtype).removeprefix('torch.')}",
        tuple(findings),
        notes,
    )


def settled(target: Target, model: Callable[..., Any], x: Tensor) -> Target:
    """A `Choice` fixed by the output at x, as a class per example or a callable; other targets as they are.

    Raises: TypeError or ValueError for what is no target, and for a `Choice` that no such form can express.
    """
    score = Score.of(target, len(x), x.device)
    if not isinstance(target, Choice):
        return target
    with open_engine(model, x) as engine:
        output = engine.outputs(torch.arange(len(x), device=x.device), x.__getitem__, table)
    classes = score.settled(output).classes
    assert classes is not None  # that is what `settled` does to a Choice
    if classes.shape[1] == 1 and torch.equal(target.score(output, classes), output.gather(1, classes)[:, 0]):
        return classes[:, 0]
    if bool((classes != classes[:1]).any()):
        raise ValueError(f"check: {target.label} reads other classes in each example; check one example at a time.")
    return lambda output: target.score(output, classes[:1].expand(len(output), -1))


def _notes(trial: Trial) -> Iterator[str]:
    """What holds for the whole report."""
    if trial.brief not in (None, trial.own):
        yield (
            f"Laws that hold at any number of nodes, samples or steps were asked of {trial.brief!r}"
            + (
                f", or of {fixed(trial.own)!r} where both questions must share their nodes."
                if trial.chooses and trial.own
                else "."
            )
        )
    if trial.coarse is not None:
        yield f"The method returns {short(trial.coarse)} maps: they were judged in that precision, by its tolerances."
    if trial.leaks:
        yield f"The method does not leave as it found: {'; '.join(trial.leaks)}. Each was put back."


def _eval(network: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Puts the copy in eval mode; also returns it in the mode in which it came, where that matters."""
    try:
        check_model(network)
    except ValueError as error:
        given = copy.deepcopy(network)
        network.eval()
        return given, (
            f"{error} Determinism was measured on the model as given, all other axioms on a copy in eval mode.",
        )
    network.eval()
    return network, ()


def _subject(method: Subject) -> Estimator | Foreign:
    if isinstance(method, (str, Estimator)):
        return get_estimator(method)
    if not callable(method) or isinstance(method, type):
        raise TypeError(
            f"check: method must be a spec, an Estimator, or a callable (f, x, target, x0) -> tensor, got {method!r}."
        )
    return method


def _laws(axioms: str | Sequence[str], subject: Estimator | Foreign) -> list[MethodLaw]:
    if axioms == "all" or (axioms == "promised" and not isinstance(subject, Estimator)):
        return list(LAWS)
    if axioms == "promised" and isinstance(subject, Estimator):
        return [law for law in LAWS if law.promised(subject.claims)]
    wanted = [axioms] if isinstance(axioms, str) else list(axioms)
    if unknown := [name for name in wanted if name not in NAMES]:
        raise ValueError(
            f"check: unknown axioms {', '.join(map(repr, unknown))}; expected 'all', 'promised' or names among "
            f"{', '.join(NAMES)}."
        )
    return [law for law in LAWS if law.name in wanted]


def name_of(subject: Estimator | Foreign) -> str:
    """How a report calls the method."""
    return (
        repr(subject)
        if isinstance(subject, Estimator)
        else str(getattr(subject, "__name__", None) or type(subject).__name__)
    )


def parametrize(
    subjects: Iterable[Any],
    *,
    expected_failures: dict[str, str] | None = None,
    model: Callable[..., Any] | None = None,
    x: Tensor | None = None,
    target: Target = 0,
    transform: str | Transform = "pixel",
) -> "pytest.MarkDecorator":
    """The laws of every subject as pytest parameters named `law`; calling `law()` raises AssertionError with the table.

    subjects: transforms, estimators or their specs, callables (f, x, target, x0) -> tensor; of classes, the `examples()`.
    Estimators are held to what they promise, callables to every axiom.
    expected_failures: {axiom: reason} of laws that are known to fail; they must fail, or the test does.
    model, x, target, transform: the question put to methods; by default a small ReLU network on two signals.

        @pb.axioms.parametrize([MyTransform])
        def test_laws(law): law()

    Raises: ImportError with the command that installs pytest; TypeError or ValueError for what is no subject.

    >>> import pullback as pb
    >>> mark = pb.axioms.parametrize([pb.transforms.get("dct", shape=(1, 4)), "gradient"])
    >>> dct, gradient = mark.args[1]
    >>> dct.id, gradient.id
    ('dct (1, 4)', 'Gradient()')
    >>> dct.values[0]()  # keeps its laws: nothing is raised
    """
    try:
        import pytest
    except ImportError:
        raise ImportError("parametrize needs pytest: pip install pytest.") from None
    members: list[Any] = []
    for subject in subjects:
        examples = getattr(subject, "examples", None)
        members.extend(examples() if isinstance(subject, type) and examples is not None else [subject])
    question = _question(model, x)
    known = expected_failures or {}
    laws = []
    for member in members:
        if isinstance(member, Transform):
            name, judged = f"{member.spec} {member.shape}", lambda member=member: check_transform(member)
        else:
            name = name_of(_subject(member))
            judged = lambda member=member: check(
                *question, target, method=member, transform=transform, axioms="promised"
            )
        laws.append(pytest.param(_law(judged, known), id=name))
    return pytest.mark.parametrize("law", laws)


def _question(model: Callable[..., Any] | None, x: Tensor | None) -> tuple[Callable[..., Any], Tensor]:
    """The model and x to put to methods, with the built-in ones for what is missing."""
    if x is None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(2, 1, 12, generator=generator, dtype=torch.double)
    return small_network(tuple(x.shape[1:])).to(x) if model is None else model, x


def _law(judged: Callable[[], AxiomReport], expected: dict[str, str]) -> Callable[[], None]:
    def law() -> None:
        report = judged()
        surprises = [f.axiom for f in report.faults if f.axiom not in expected]
        repaired = [axiom for axiom in expected if axiom not in {f.axiom for f in report.faults}]
        if surprises or repaired:
            raise AssertionError(
                f"{report}\nunexpected: {surprises or 'none'}; expected to fail but kept: {repaired or 'none'}"
            )

    return law

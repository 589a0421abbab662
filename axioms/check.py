"""`check`: the laws of a method, measured on the user's own model; `parametrize`: the same laws as pytest parameters."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..attribution import Estimator
from ..attribution.call import BaselineLike, resolve_baseline
from ..attribution.engine.check_model import check_model, feed_dtype
from ..attribution.engine.entries import Entries
from ..attribution.engine.open_engine import open_engine
from ..attribution.engine.score import Score, Target, real_output, table
from ..attribution.engine.signal import check_signal
from ..attribution.estimator import get as get_estimator
from ..attribution.targets import Choice
from ..core.checks import check_number
from ..core.copies import copied
from ..core.imports import needs
from ..core.precision import full_products
from ..core.progress import Progress
from ..transforms import Transform
from ..transforms import get as get_transform
from .case import Case
from .method_laws import LAWS, NAMES, MethodLaw, check_law
from .report import AxiomReport, Finding
from .rewrites.modules import CallableModule, small_network
from .transform_laws import check_transform
from .trial import MethodFunction, Trial
from .validate_map import short

if TYPE_CHECKING:
    import pytest

Method = str | Estimator | MethodFunction


def check(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    method: Method = "integrated_gradients",
    transform: str | Transform = "pixel",
    baseline: BaselineLike = None,
    axioms: str | Sequence[str] = "all",
    seed: int = 0,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> AxiomReport:
    """Measures which axioms `method` keeps on `model` at x, in the coordinates of T.

    model: (rows, *shape) -> output; a copy of it is used, in eval mode.  x: (batch, *shape).  baseline: as in `attribute`.
    target: as in `attribute`; classes that depend on the output, as in `targets.predicted()`, are fixed at x.
    method: a spec such as "integrated_gradients(steps=64)", an Estimator, or any callable (f, z, target, z0) -> tensor of x's
    shape. There f is an nn.Module from z to the model's output, a new copy for each call; x and x0 are z = T x and z₀ = T x₀;
    target is one class per example, an int64 tensor (batch,), or one entry (batch, axes), or a callable of the output, or None.
    axioms: "all", "claimed" (what an estimator claims, and what every method must keep), a name or a list of names.
    tolerance: the largest residual with which a law holds, in place of the measured tolerances.
    progress: called with (laws measured, laws to measure).

    A law that holds at any number of nodes or samples is measured on a cheaper form of an estimator; the report names it.
    Where rounding in the model could explain a broken law, double precision decides. A law that cannot be measured is "not
    applicable", with the reason, and does not stop the others. Where the method does not return a map (no tensor, not real,
    not dense, of another shape or device, NaN) the verdict is "UNUSABLE". Nothing of the caller's is changed; what a callable
    would have left changed is named in the notes.
    Raises: TypeError or ValueError for arguments that make no sense.

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 3)).double().eval()
    >>> x = torch.linspace(-1, 1, 16).double().reshape(2, 1, 8)
    >>> report = pb.axioms.check(model, x, 0, method="integrated_gradients(steps=4)", transform="dct", axioms="claimed")
    >>> report.faults
    ()
    >>> pb.axioms.check(model, x, 0, method="gradient", axioms="completeness").holds("completeness")
    False
    """
    subject = _resolved(method)
    laws = _chosen(axioms, subject)
    x = check_signal(x)
    domain = get_transform(transform, tuple(x.shape[1:]))
    if not callable(model):
        raise TypeError(f"check: model must be a module or another callable, got {type(model).__name__}.")
    if tolerance is not None:
        check_number("check", "tolerance", tolerance, 0)
    with torch.inference_mode(False), torch.no_grad(), full_products(x):
        x = x.detach().clone()
        feed_dtype(model, x.dtype)
        network = _as_module(model)
        given, notes = _in_eval_mode(network)
        case = Case(network, x, resolve_baseline(baseline, x), fixed_target(target, network, x), domain)
        trial = Trial(subject, case, given, baseline, seed, tolerance)
        findings = tuple(_findings(laws, trial, progress))
    examples = f"{len(x)} example{'s' * (len(x) > 1)} of shape {case.shape}, {short(x.dtype)}"
    title = f"{name_of(subject)} on {type(model).__name__}, {domain.spec}, {examples}"
    return AxiomReport(title, findings, (*notes, *_notes(trial)))


def _findings(laws: Sequence[MethodLaw], trial: Trial, progress: Progress | None) -> Iterator[Finding]:
    """One finding for each law."""
    for done, law in enumerate(laws):
        if progress is not None:
            progress(done, len(laws))
        yield check_law(law, trial)
    if progress is not None:
        progress(len(laws), len(laws))


def fixed_target(target: Target, model: Callable[..., Any], x: Tensor) -> Target:
    """A target as classes (batch,) or entries (batch, axes) of the output at x, or as a callable, or None.

    Raises: TypeError or ValueError for an invalid target, and for a `Choice` of several other classes in each example.
    """
    score = Score.of(target, len(x), x.device)
    if isinstance(score.choose, Entries):
        return _fixed_entries(score.choose, model, x)
    if not isinstance(target, Choice):
        return target
    with open_engine(model, x) as engine:
        every = torch.arange(len(x), device=x.device)
        output = engine.as_recorded(lambda: engine.outputs(every, x.__getitem__, table))
    classes = score.settled(output).classes
    assert classes is not None  # that is what `settled` does to a Choice
    known = int(classes.max()) < output.shape[1]
    if classes.shape[1] == 1 and known and torch.equal(target.score(output, classes), output.gather(1, classes)[:, 0]):
        return classes[:, 0]
    if bool((classes != classes[:1]).any()):
        raise ValueError(f"check: {target.label} reads other classes in each example; check one example at a time.")
    return lambda output: target.score(output, classes[:1].expand(len(output), -1))


def _fixed_entries(entries: Entries, model: Callable[..., Any], x: Tensor) -> Target:
    """A class for all, or classes (batch,), or entries (batch, axes) of the output of `model`."""
    if entries.given.ndim == 0 or (entries.given.ndim == 1 and not entries.same):
        return int(entries.given) if entries.given.ndim == 0 else entries.given.to(x.device)
    with open_engine(model, x[:1]) as engine:
        read = lambda output, example: real_output(output, example).detach()
        output = engine.outputs(torch.zeros(1, dtype=torch.long, device=x.device), x[:1].__getitem__, read)
    table = entries.table(tuple(output.shape[1:])).to(x.device)
    return table[:, 0] if table.shape[1] == 1 else table


def _notes(trial: Trial) -> Iterator[str]:
    """Remarks on the whole report."""
    cheap = trial.form("cheap")
    if cheap != trial.estimator:
        fixed = f", or on {trial.form('fixed')!r} where both questions must share their nodes" * trial.adaptive
        yield f"Laws that hold at any number of nodes, samples or steps were measured on {cheap!r}{fixed}."
    if trial.map_dtype is not None:
        yield f"The method returns maps in {short(trial.map_dtype)}; they were judged in that precision."
    if trial.side_effects:
        yield f"The method does not put back what it changes: {'; '.join(trial.side_effects)}. All of it was restored."


def _as_module(model: Callable[..., Any]) -> nn.Module:
    """A copy of the model that takes hooks; TorchScript, like a function, only does so inside a module."""
    twin = copied(model) if isinstance(model, nn.Module) else model
    return twin if isinstance(twin, nn.Module) and not isinstance(twin, torch.jit.ScriptModule) else CallableModule(twin)


def _in_eval_mode(network: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Puts the network in eval mode; returns it in the mode in which it came, and a note where the modes differ."""
    try:
        check_model(network)
    except ValueError as error:
        given = copied(network)
        network.eval()
        return given, (f"{error} Determinism was measured on the model as given, all other axioms on a copy in eval mode.",)
    return network.eval(), ()


def _resolved(method: Method) -> Estimator | MethodFunction:
    if isinstance(method, (str, Estimator)):
        return get_estimator(method)
    if not callable(method) or isinstance(method, type):
        expected = "a spec, an Estimator, or a callable (f, z, target, z0) -> tensor"
        raise TypeError(f"check: method must be {expected}, got {method!r}.")
    return method


def _chosen(axioms: str | Sequence[str], subject: Estimator | MethodFunction) -> list[MethodLaw]:
    if axioms == "claimed" and isinstance(subject, Estimator):
        return [law for law in LAWS if law.claimed_by(subject.claims)]
    if axioms in ("all", "claimed"):
        return list(LAWS)
    wanted = [axioms] if isinstance(axioms, str) else list(axioms)
    if unknown := [name for name in wanted if name not in NAMES]:
        expected = f"'all', 'claimed' or names among {', '.join(NAMES)}"
        raise ValueError(f"check: unknown axioms {', '.join(map(repr, unknown))}; expected {expected}.")
    return [law for law in LAWS if law.name in wanted]


def name_of(method: Estimator | MethodFunction) -> str:
    """The name of a method in reports: of an estimator its spec, with the options that differ from their defaults."""
    if not isinstance(method, Estimator):
        return str(getattr(method, "__name__", None) or type(method).__name__)
    if not method.name or not is_dataclass(method):
        return repr(method)
    held = [(each.name, getattr(method, each.name), each.default) for each in fields(method)]
    changed = ", ".join(f"{name}={value}" for name, value, default in held if value != default)
    return f"{method.name}({changed})" if changed else method.name


def parametrize(
    subjects: Iterable[Any],
    *,
    expected_failures: dict[str, str] | None = None,
    model: Callable[..., Any] | None = None,
    x: Tensor | None = None,
    target: Target = 0,
    transform: str | Transform = "pixel",
) -> "pytest.MarkDecorator":
    """The laws of each subject as a pytest parameter named `law`; `law()` raises AssertionError with the report.

    subjects: transforms, estimators or their specs, callables (f, z, target, z0) -> tensor; of a class, its `examples()`.
    An estimator must keep what it claims, a callable every axiom.
    expected_failures: {axiom: reason} of laws that are known to fail; the test fails if one of them holds.
    model, x, target, transform: as in `check`; by default a small ReLU network and two signals.

        @pb.axioms.parametrize([MyTransform])
        def test_laws(law): law()

    Raises: ImportError without pytest; TypeError or ValueError for an invalid subject.

    >>> import pullback as pb
    >>> mark = pb.axioms.parametrize([pb.transforms.get("dct", shape=(1, 4)), "gradient"])
    >>> dct, gradient = mark.args[1]
    >>> dct.id, gradient.id
    ('dct (1, 4)', 'gradient')
    >>> dct.values[0]()  # keeps its laws: nothing is raised
    """
    with needs("parametrize", "pytest"):
        import pytest
    members: list[Any] = []
    for subject in subjects:
        members += subject.examples() if isinstance(subject, type) and hasattr(subject, "examples") else [subject]
    if x is None:
        x = torch.randn(2, 1, 12, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    network = small_network(tuple(x.shape[1:])).to(x) if model is None else model
    laws = []
    for member in members:
        if isinstance(member, Transform):
            name, judged = f"{member.spec} {member.shape}", lambda member=member: check_transform(member)
        else:
            options = {"method": member, "transform": transform, "axioms": "claimed"}
            name, judged = name_of(_resolved(member)), lambda options=options: check(network, x, target, **options)
        laws.append(pytest.param(_law(judged, expected_failures or {}), id=name))
    return pytest.mark.parametrize("law", laws)


def _law(judged: Callable[[], AxiomReport], expected: dict[str, str]) -> Callable[[], None]:
    def law() -> None:
        report = judged()
        failed = [finding.axiom for finding in report.faults]
        unexpected = [axiom for axiom in failed if axiom not in expected]
        kept = [axiom for axiom in expected if axiom not in failed]
        if all(finding.holds is None for finding in report):
            raise AssertionError(f"{report}\nno law could be measured")
        if unexpected or kept:
            found = f"unexpected: {unexpected or 'none'}; expected to fail but kept: {kept or 'none'}"
            raise AssertionError(f"{report}\n{found}")

    return law

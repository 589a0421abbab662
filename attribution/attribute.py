"""`attribute`: the public call, in one domain or in several from one gradient stream."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack, overload

from torch import Tensor

from ..core.argument_advice import about_shapes, unknown_argument
from ..core.progress import Progress
from ..transforms import Transform
from .call import BaselineLike, Domain, Method, Model, Options, run
from .engine.execution import Execution
from .engine.score import Target
from .result import Attribution
from .resume import warn_unconverged


@overload  # a str is itself a Sequence[str]; the first overload takes it
def attribute(  # type: ignore[overload-overlap]
    model: Model, x: Tensor, target: Target = ..., *, transform: Domain = ..., **options: Unpack[Options]
) -> Attribution: ...
@overload
def attribute(
    model: Model, x: Tensor, target: Target = ..., *, transform: Sequence[Domain], **options: Unpack[Options]
) -> list[Attribution]: ...
def attribute(
    model: Model,
    x: Tensor,
    target: Target = None,
    *,
    method: Method = "integrated_gradients",
    transform: Domain | Sequence[Domain] = "pixel",
    baseline: BaselineLike = None,
    batch_size: int | str = "auto",
    seed: int = 0,
    progress: Progress | bool | None = None,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    create_graph: bool = False,
    execution: Execution | None = None,
    **unknown: Any,
) -> Attribution | list[Attribution]:
    """Shares f(x) - f(x₀) among the coefficients of T x, in one domain or in several from one gradient stream.

    For linear T a gradient follows from the one in the signal, ∇_z (f∘T⁻¹)(z) = (T⁻¹)ᵀ ∇_x f(x), so any number of linear
    domains needs the evaluations of one. Other T run on f∘T⁻¹ with automatic differentiation.

    model: (rows, *shape) -> output, in eval mode.  x: a dense tensor (batch, *shape), channels first, floating point, whose
    size in each example, max |x|, is 0 or between tiny / eps and max · eps of its dtype: 1e-31 and 4e31 in single precision.
    target: which number of the output is f. None: the only output of the model. A class index, or one per example as a list
    or array. For outputs (rows, *axes): an entry, as (2, 1), or a list of one per example, as Captum takes them. A one-hot
    tensor of the output's shape. One of `targets` (difference, top_k, log_odds, predicted, binary). A callable of the output
    that returns (rows,); with a second parameter named `example`, it also gets the number of the example of each row,
    as in lambda out, example: (out * mask[example]).sum(1), since a forward holds any rows of any examples.
    Class 0 of a model with one output is that output, also for an example with label 0; `targets.binary` takes labels.
    An output of one row without its axis of rows, as squeeze() leaves it, gets it back.
    method: a spec such as "smoothgrad(samples=25)", or an Estimator.
    transform: a spec such as "dwt(db4, level=3)", a Transform, or a list of these; a list returns a list.
    baseline: x₀: a number, a tensor that broadcasts to x, a callable x -> x₀, a spec such as "blur(sigma=10)" or
    "uniform(0, 1)", one of `baselines` such as `in_domain(z0)` and `among(references)`, or None for zero.
    batch_size: the largest number of model inputs (examples × steps × samples) in one forward; results do not depend on
    it. "auto" chooses what suits the device's caches and at most half of its free memory. A model that takes one batch
    size only, such as a program exported for it, is fed chunks of exactly `batch_size`, the last one filled up.
    seed: together with the content of each example, it fixes all random numbers.
    progress: True for a bar with the time left, or a callable that takes (evaluations done, evaluations planned).
    model_args, model_kwargs: further arguments, model(x, *model_args, **model_kwargs), which are not attributed. What
    holds one entry per example follows its example: a tensor or an array along any axis, a list by its entries, also inside
    other containers. Where that is one of several readings, the call model(x, *model_args, **model_kwargs) on the whole
    batch decides; `pullback.PerExample` and `pullback.Broadcast` mark it by hand.
    create_graph: keep the values differentiable with respect to x, the baseline and the model's parameters.
    execution: number format, memory format and compilation; see `Execution`.

    f is the function that gradients see: models that compute something else where autograd does not record, such as the fast
    path of nn.TransformerEncoder, are read with gradients recorded.
    The model's mode, hooks, gradients and buffers and the random state stay as they were. The result has no graph by default.
    Raises: TypeError or ValueError that names the wrong argument or example; also for a model that is not deterministic,
    or whose output for one example depends on the others.
    Warns: ConvergenceWarning where a method did not meet its own tolerance, such as tol of integrated_gradients.

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
    >>> att = pb.attribute(model, torch.ones(2, 1, 4, 4), 0, transform="dct")
    >>> bool((att.completeness_gap.abs() < 1e-5).all())
    True
    """
    if unknown:
        raise unknown_argument(unknown)
    several = isinstance(transform, Iterable) and not isinstance(transform, (str, Transform))
    domains: list[Any] = list(transform) if several else [transform]  # type: ignore[arg-type]
    if not domains:
        raise ValueError("transform: expected a spec, a Transform or a list of these; got an empty list.")
    options: Any = {"method": method, "baseline": baseline, "batch_size": batch_size, "seed": seed, "progress": progress}
    options |= {"model_args": model_args, "model_kwargs": model_kwargs, "create_graph": create_graph, "execution": execution}
    try:
        results = [Attribution(**fields) for fields in run(model, x, target, domains, **options)]
    except (RuntimeError, ValueError, IndexError) as error:
        if (clearer := about_shapes(error, model, x)) is not None:
            raise clearer from error
        raise
    warn_unconverged(results)
    return results if several else results[0]


def resume(
    results: Sequence[Attribution], model: Model, x: Tensor, target: Target = None, **options: Unpack[Options]
) -> list[Attribution]:
    """Continues results that one call of `attribute` in several domains returned, from one gradient stream.

    The call must be the same, with method "integrated_gradients(keep=True)" in the first one; `method` may now ask for a
    smaller tol or more evaluations.  options: method, baseline, batch_size, seed … as in `attribute`.
    Raises: TypeError or ValueError that names what differs from the first call.

    >>> f, x, domains = lambda x: x.exp().flatten(1).sum(1), torch.ones(1, 1, 4), ["pixel", "dct"]
    >>> first = pb.attribute(f, x, method="integrated_gradients(tol=0.3, keep=True)", transform=domains)
    >>> [int(then.settings["evaluations"]["gradient"]) for then in pb.attribution.resume(first, f, x)]
    [0, 0]
    """
    if not isinstance(results, (list, tuple)) or any(not isinstance(one, Attribution) for one in results):
        raise TypeError("resume: expected the list that pullback.attribute returned; one result has a method resume().")
    fields = run(model, x, target, [one.transform for one in results], [vars(one) for one in results], **options)
    continued = [Attribution(**each) for each in fields]
    warn_unconverged(continued)
    return continued

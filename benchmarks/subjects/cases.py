"""How each registered method is asked in benchmarks. A method that the tables do not name runs as its first example."""

import dataclasses
import math
from collections.abc import Callable

import pullback as pb
from pullback.attribution import Estimator
from pullback.attribution.estimator import estimators

# How many samples are small, of the methods that take samples.
SAMPLES = {"absgrad": 16, "squaregrad": 16, "vargrad": 16, "hsic": 16, "kernel_shap": 16, "lime": 16, "sobol": 4}
SAMPLES |= {"expected_gradients": 8, "gradient_shap": 8, "smoothgrad": 8}
# With n samples, steps or masks, for times; groups are few, so that every method ends.
TIMED: dict[str, tuple[str, ...]] = {name: (f"{name}(samples={{n}})",) for name in SAMPLES} | {
    "captum": ("captum(Saliency)",),
    "hsic": ("hsic(by=orientation, samples={n})",),
    "integrated_gradients": ("integrated_gradients(steps={n})", "integrated_gradients(tol=0, max_evaluations={n})"),
    "kernel_shap": ("kernel_shap(by=orientation, samples=16)",),
    "lime": ("lime(by=orientation, samples={n})",),
    "mask": ("mask(steps={n})",),
    "occlusion": ("occlusion(by=orientation)",),
    "rise": ("rise(masks={n})",),
    "shapley": ("shapley(by=orientation)",),
    "sobol": ("sobol(by=orientation, samples=4)",),
}
# With n times a small number of steps, masks or groups, for memory.
GROWN: dict[str, Callable[[int], str]] = {
    "captum": lambda n: f"captum(IntegratedGradients, n_steps={8 * n})",
    "integrated_gradients": lambda n: f"integrated_gradients(tol=0, max_evaluations={33 * n})",
    "mask": lambda n: f"mask(steps={2 * n})",
    "occlusion": lambda n: f"occlusion(by=block, block={16 // math.isqrt(n)})",
    "rise": lambda n: f"rise(masks={16 * n})",
    "shapley": lambda n: f"shapley(exact=False, pairs={2 * n})",
}
COUNTS = ("samples", "masks", "pairs", "steps")  # the options that say how much a method draws


def templates() -> list[str]:
    """Every registered method as it is timed: a spec with {n} in it, or a bare name."""
    return [template for name in pb.attribution.names() for template in TIMED.get(name, (name,))]


def timed(template: str, n: int) -> str | Estimator:
    """The method of a template, with n samples; of a bare name, the first example of its class."""
    return template.format(n=n) if "(" in template else first_example(template)


def grown(name: str, n: int) -> str | Estimator:
    """The method of that name with n times as much to draw."""
    if name in SAMPLES:
        return f"{name}(samples={SAMPLES[name] * n})"
    return GROWN[name](n) if name in GROWN else _times(first_example(name), n)


def first_example(name: str) -> Estimator:
    """The first of a registered class' `examples()`."""
    maker = estimators.maker(name)
    return next(iter(maker.examples()))  # type: ignore[attr-defined]


def _times(estimator: Estimator, n: int) -> Estimator:
    """The same with n times the first of its COUNTS; as it is where it has none."""
    found = [name for name in COUNTS if isinstance(getattr(estimator, name, None), int)]
    return dataclasses.replace(estimator, **{found[0]: n * getattr(estimator, found[0])}) if found else estimator  # type: ignore[type-var]

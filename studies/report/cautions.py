"""What makes the numbers of an explanation hard to trust, in sentences that the terminal, the report and figures share."""

import math
from collections.abc import Collection, Mapping

from .page import SMALL

CANCELS = 3.0  # times |f(x) - f(x₀)|, a Σ|a| from which on shares need an explanation
REMEDY = "few parts cancel less: try --method 'shapley(by=octave)', or another --baseline"


def about_difference(score: float, difference: float) -> str:
    """What a small or negative f(x) - f(x₀) means for shares of it; "" where it is neither.

    >>> about_difference(10.0, 0.1)[:54]
    'f(x) - f(x₀) = +0.1 is small beside f(x) = 10: shares '
    """
    if math.isnan(difference):
        return ""
    if difference == 0:
        return "f(x) = f(x₀): the model gives the signal and the baseline x₀ the same score, so there is nothing to attribute."
    if abs(difference) <= SMALL * max(abs(score), abs(score - difference)):
        what = f"f(x) - f(x₀) = {difference:+.3g} is small beside f(x) = {score:.3g}"
        return f"{what}: shares of it have large errors; take another --baseline, or a class with a larger difference."
    if difference < 0:
        return (
            "f(x) - f(x₀) is negative: the signal gets a lower score than the baseline, so most totals are negative. "
            "A positive total still speaks for the class."
        )
    return ""


def cancels(factor: float | None) -> str:
    """What Σ|a| says of one domain, in a line of a figure; "" where values hardly cancel.  factor: Σ|a| / |f(x) - f(x₀)|.

    >>> cancels(300.0)
    'Σ|a| is 300 × |f(x) - f(x₀)|: shares show where |a| is large, not what the score is made of'
    """
    if factor is None or not CANCELS <= factor < math.inf:
        return ""
    return f"Σ|a| is {factor:,.3g} × |f(x) - f(x₀)|: shares show where |a| is large, not what the score is made of"


def about_cancellation(factors: Mapping[str, float | None]) -> str:
    """Which shares to trust, where values of both signs cancel; "" where not.  factors: Σ|a| / |f(x) - f(x₀)| of domains.

    >>> about_cancellation({"dct": 1.2}), about_cancellation({"dct": 40.0, "pixel": 2.0})[-62:]
    ('', 'Where domains disagree, trust the smallest factor: 2 in pixel.')
    """
    known = {spec: factor for spec, factor in factors.items() if factor is not None and math.isfinite(factor)}
    if max(known.values(), default=0) < CANCELS:
        return ""
    most, least = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    if known[least] < CANCELS:
        advice = f"Where domains disagree, trust the smallest factor: {known[least]:,.3g} in {least}."
    else:
        advice = f"Here it is {known[least]:,.3g} or more, so trust none of the shares; {REMEDY}."
    return (
        f"Values of both signs cancel: Σ|a| is {known[most]:,.3g} times |f(x) - f(x₀)| in {most}. A share of Σ|a| tells where "
        f"coefficients and gradients are large; only where the factor is near 1 is it a share of the score. {advice}"
    )


def cautions(
    score: float, difference: float, factors: Mapping[str, float | None], missed: Collection[str], domains: int
) -> list[str]:
    """What makes the numbers of an explanation hard to trust, a sentence for each reason.

    factors: as in `about_cancellation`.  missed: the domains, of so many, in which the method missed its tolerance.
    """
    said = [about_difference(score, difference), about_cancellation(factors)]
    if missed:
        advice = "the method missed its tolerance; give it more evaluations or a larger tolerance."
        said.append(f"{len(missed)} of {domains} maps did not converge ({', '.join(missed)}): {advice}")
    return [line for line in said if line]

"""A page for each registered transform, method, metric and axiom."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api import prose, signature

import pullback as pb
from pullback.attribution.estimator import estimators
from pullback.axioms.method_laws import LAWS
from pullback.metrics.base import metrics
from pullback.studies.catalogue import claim_words
from pullback.transforms.registry import transforms

PICTURES = Path(__file__).resolve().parents[1] / "pictures" / "reference"


def sections() -> dict[str, dict[str, str]]:
    """{section: {path: text}} of all pages."""
    return {
        "Transforms": {
            f"transforms/{name}.md": _page(name, transforms.maker(name), _transform) for name in pb.transforms.names()
        },
        "Methods": {f"methods/{name}.md": _page(name, estimators.maker(name), _method) for name in pb.attribution.names()},
        "Axioms": {"axioms/index.md": _axioms()},
        "Metrics": {f"metrics/{name}.md": _page(name, metrics.maker(name), _metric) for name in pb.metrics.names()},
    }


def _page(name: str, maker: Any, facts: Callable[[Any], list[tuple[str, str]]]) -> str:
    rows = "".join(f"| {what} | {value} |\n" for what, value in facts(maker))
    picture = next(PICTURES.glob(f"{name}.*"), None)
    shown = f"![{name}](../pictures/reference/{picture.name})\n\n" if picture else ""
    call = f"```python\n{signature(name, maker)}\n```"
    return f"# {name}\n\n{call}\n\n{shown}{prose(inspect.getdoc(maker))}\n\n## Facts\n\n| | |\n| --- | --- |\n{rows}"


def _transform(maker: Any) -> list[tuple[str, str]]:
    examples = list(maker.examples())
    claims = dict.fromkeys(claim_words(each.claims).lower() for each in examples)
    library = next((each.reference for each in examples if getattr(each.reference, "library", None)), None)
    rows = [("claims of its examples", ", ".join(claims)), ("examples whose laws are tested", f"{len(examples)}")]
    rows.append(("coefficients per sample", ", ".join(dict.fromkeys(f"{each.redundancy:.2f}" for each in examples))))
    return rows + ([("checked against", library.library)] if library is not None else [])


def _method(maker: Any) -> list[tuple[str, str]]:
    one = next(iter(maker.examples()), None)
    if one is None:
        return []
    cost = one.cost([pb.transforms.get("dwt(haar, level=2)", (1, 16, 16)).layout])
    claims = str(one.claims).removeprefix("MethodClaim.").replace("|", ", ").lower().replace("_", " ")
    return [
        ("gives", "shares of f(x) - f(x₀)" if one.kind == "share" else "sensitivities"),
        ("claims", claims),
        ("one stream for all linear domains", "yes" if one.linear_in_gradients else "no"),
        (f"evaluations of `{one!r}` for one example", f"{cost.gradients:,} gradients, {cost.forwards:,} forwards"),
    ]


def _metric(maker: Any) -> list[tuple[str, str]]:
    invariant = {
        0: "nothing: it may compare domains",
        1: "orthonormal changes of basis",
        2: "any bijective linear change of basis",
    }
    return [
        ("formula", maker.formula.replace("|", "\\|")),
        ("source", maker.source),
        ("better", maker.better),
        ("of a random map", "–" if maker.chance is None else f"{maker.chance:g}"),
        ("invariant under", invariant[int(maker.invariant)]),
        ("compares methods in one domain only", "yes" if maker.within_domain else "no"),
    ]


def _axioms() -> str:
    """The laws of methods, and what measures each of them."""
    parts = [
        "# Axioms of methods",
        "`pullback axioms` and `pb.axioms.check` measure these laws. [Who keeps what](../axioms.md).",
    ]
    for law in LAWS:
        who = "every method" if law.universal else f"methods that claim {law.claim}" if law.claim else "no method claims it"
        about = (
            f"{prose(law.statement)}\n\nSource: {law.source}. Must be kept by: {who}.\n\n{prose(inspect.getdoc(law.measure))}"
        )
        parts.append(f"## {law.name}\n\n{about}")
    return "\n\n".join(parts) + "\n"

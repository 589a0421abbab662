"""A page for each registered transform, method, metric and axiom."""

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from api import escaped, prose, signature

import pullback as pb
from pullback.attribution.estimator import estimators
from pullback.axioms.method_laws import LAWS
from pullback.metrics.base import metrics
from pullback.studies.catalogue import claim_words, metric_rows
from pullback.transforms.registry import transforms

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures" / "reference"
MATRIX = ROOT / "docs" / "axioms" / "matrix-small.csv"
TIMES = ROOT / "benchmarks" / "results" / "transforms-cpu.json"
WORDS = {
    "Transforms": "Basis functions of {}, coarse to fine",
    "Methods": "A photograph, its map by {} as a whole and in each octave, and the share of each octave",
    "Metrics": "{} of the maps of several methods of one photograph",
    "Axioms": "The residual of {} for each method, and the tolerance",
}
ONE = "*One photograph says nothing about methods in general; [studies](../studies/index.md) take many.*"
WITHOUT = "No picture: it compares a map with a truth that a photograph does not have."


def sections() -> dict[str, dict[str, str]]:
    """{section: {path: text}} of all pages."""
    kinds = {"Transforms": (transforms, _transform), "Methods": (estimators, _method), "Metrics": (metrics, _metric)}
    found = {
        section: {
            f"{section.lower()}/{name}.md": _page(name, registry.maker(name), facts, WORDS[section])
            for name in registry.names()
        }
        for section, (registry, facts) in kinds.items()
    }
    return found | {"Axioms": {f"axioms/{law.name}.md": _axiom(law) for law in LAWS}}


def _page(name: str, maker: Any, facts: Callable[[Any], list[tuple[str, str]]], words: str) -> str:
    call = f"```python\n{signature(name, maker)}\n```"
    shown = picture(name, words.format(name))
    if facts is _metric:
        shown = f"{shown}{ONE if shown else WITHOUT}\n\n"
    return f"# {name}\n\n{call}\n\n{shown}{prose(inspect.getdoc(maker))}\n\n{_table(facts(maker))}"


def picture(name: str, words: str) -> str:
    """The picture of a page, with the words that stand for it; "" where there is none."""
    return f"![{words}](../pictures/reference/{name}.webp)\n\n" if (PICTURES / f"{name}.webp").exists() else ""


def _table(facts: list[tuple[str, str]]) -> str:
    rows = "".join(f"| {what} | {value} |\n" for what, value in facts)
    return f"## Facts\n\n| what | value |\n| --- | --- |\n{rows}"


def source(text: str | None) -> str:
    """The source that a docstring states.

    >>> source("A transform.\\n\\nShapes: as x. Sources: Mallat 1989;\\nDaubechies 1992.  Raises: never.")
    'Mallat 1989; Daubechies 1992'
    """
    found = re.search(r"Sources?(?: [a-z ]+)?: (.*?)\.?(?=\s+(?:Raises|Shapes?):|\n\s*\n|\Z)", text or "", re.DOTALL)
    return escaped(" ".join(found[1].split())) if found else ""


def _transform(maker: Any) -> list[tuple[str, str]]:
    examples = list(maker.examples())
    claims = dict.fromkeys(claim_words(each.claims).lower() for each in examples)
    library = next((each.reference for each in examples if getattr(each.reference, "library", None)), None)
    rows = [("claims of its examples", ", ".join(claims)), ("examples whose laws are tested", f"{len(examples)}")]
    rows.append(("coefficients per sample", ", ".join(dict.fromkeys(f"{each.redundancy:.2f}" for each in examples))))
    rows += [("checked against", library.library)] if library is not None else []
    return [*rows, *times(maker.name), ("source", source(maker.__doc__))]


def times(name: str) -> list[tuple[str, str]]:
    """What the stored benchmark measured on signals that the transform takes."""
    run = json.loads(TIMES.read_text())
    device = run["machine_info"]["device"]
    found = [one["extra_info"] for one in run["benchmarks"] if re.match(rf"test_transform\[{name}-", one["name"])]
    rows = [(f"time of `{one['spec']}` for {' × '.join(map(str, one['shape']))}, {device}", _time(one)) for one in found]
    return rows or [("time", "not measured yet")]


def _time(one: dict[str, Any]) -> str:
    jobs = {"analysis": "T", "synthesis": "T⁻¹", "adjoint": "adjoint"}
    said = ", ".join(f"{short} {one[job]:g} ms" for job, short in jobs.items() if job in one)
    return f"{said}; memory {one['analysis_peak_mb']:g} MB for a signal of {one['signal_mb']:g} MB"


def _method(maker: Any) -> list[tuple[str, str]]:
    one = next(iter(maker.examples()), None)
    if one is None:
        return [("source", source(maker.__doc__))]
    cost = one.cost([pb.transforms.get("dwt(haar, level=2)", (1, 16, 16)).layout])
    claims = str(one.claims).removeprefix("MethodClaim.").replace("|", ", ").lower().replace("_", " ")
    return [
        ("gives", "shares of f(x) - f(x₀)" if one.kind == "share" else "sensitivities"),
        ("claims", claims),
        ("one stream for all linear domains", "yes" if one.linear_in_gradients else "no"),
        (f"evaluations of `{one!r}` for one example", f"{cost.gradients:,} gradients, {cost.forwards:,} forwards"),
        ("source", source(maker.__doc__)),
    ]


def _metric(maker: Any) -> list[tuple[str, str]]:
    invariant = {
        0: "nothing: it may compare domains",
        1: "orthonormal changes of basis",
        2: "any bijective linear change of basis",
    }
    row = next(metric_rows([maker.name]))
    return [
        ("formula", escaped(maker.formula)),
        ("better", maker.better),
        ("of a random map", "–" if maker.chance is None else f"{maker.chance:g}"),
        ("invariant under", invariant[int(maker.invariant)]),
        ("compares methods in one domain only", "yes" if maker.within_domain else "no"),
        ("needs, besides a map and its model", ", ".join(row["needs"]) or "nothing"),
        ("evaluations of the model for one example of 64 samples", f"{row['evaluations']:,}"),
        ("source", escaped(maker.source)),
    ]


AXIOM = """`pullback axioms` and `pb.axioms.check` measure it:

```python
pb.axioms.check(model, x, method="integrated_gradients", axioms=["{}"])
```

The numbers below are those of the [axiom matrix](../axioms.md) on a small network."""


def _axiom(law: Any) -> str:
    """What a law says, what measures it, what it costs, and who keeps it in the stored matrix."""
    found = verdicts(law.name)
    who = "every method" if law.universal else f"methods that claim {str(law.claim.name).lower()}" if law.claim else "no method"
    kept = (found["verdict"] == "kept").groupby(found["method"]).all()
    least, middle, most = found["evaluations"].quantile([0, 0.5, 1])
    facts = [
        ("says", escaped(law.statement)),
        ("must be kept by", who),
        ("evaluations of the model", f"{least:,.0f} to {most:,.0f}, by method; median {middle:,.0f}"),
        ("kept in all domains by", ", ".join(f"`{name}`" for name in kept.index[kept]) or "none"),
        ("source", escaped(law.source)),
    ]
    shown = picture(law.name, WORDS["Axioms"].format(law.name))
    parts = (f"# {law.name}", prose(inspect.getdoc(law.measure)), AXIOM.format(law.name), shown.strip(), _table(facts))
    return "\n\n".join(parts)


def verdicts(axiom: str) -> pd.DataFrame:
    """The cells of the stored matrix for one law, where it applies."""
    found = pd.read_csv(MATRIX)
    return found[(found["axiom"] == axiom) & (found["verdict"] != "not applicable")]

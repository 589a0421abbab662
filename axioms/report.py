"""`Finding` and `AxiomReport`: what each law measured on a subject, as objects, text, JSON and HTML."""

import html
import json
import math
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

_LISTED = 8  # numbers of a list that is printed


class Counterexample(dict[str, Any]):
    """What broke a law, by name, as plain numbers and lists. It prints long lists by their shape; `["x"]` has the numbers.

    >>> Counterexample({"example": 0, "gap": 1.5, "x": [[0.0] * 64]})
    {'example': 0, 'gap': 1.5, 'x': 1 × 64 numbers}
    """

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {_brief(value)}" for name, value in self.items()) + "}"


def _brief(value: Any) -> str:
    """A list of more than `_LISTED` numbers by its shape, and anything else as it is."""
    shape, inner = list[int](), value
    while isinstance(inner, list) and inner:
        shape.append(len(inner))
        inner = inner[0]
    return f"{' × '.join(map(str, shape))} numbers" if math.prod(shape) > _LISTED else repr(value)


@dataclass(frozen=True)
class Finding:
    """One law, measured on one subject.

    holds: True or False, or None where the law does not apply; `reason` says why.
    residual: relative, 0 where the law holds exactly; None where nothing was measured. A law that does not hold and has
    no residual was measured on a method that did not return a map.
    claimed: whether the subject claims the law; None where it makes no claims.
    counterexample: what broke the law, by name, as a `Counterexample`.  details: other measurements.
    tolerance_source: what the tolerance is made of.  evaluations: of the model.

    >>> Finding("dummy", holds=False, residual=0.3, tolerance=1e-10, claimed=True).verdict
    'BROKEN'
    >>> Finding("dummy", holds=False, residual=0.3, tolerance=1e-10, claimed=False).verdict
    'not claimed'
    """

    axiom: str
    holds: bool | None
    residual: float | None
    tolerance: float | None
    reason: str = ""
    claimed: bool | None = None
    statement: str = ""
    source: str = ""
    counterexample: dict[str, Any] = field(default_factory=dict)
    tolerance_source: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    evaluations: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "counterexample", Counterexample(self.counterexample))

    @property
    def verdict(self) -> str:
        """kept, BROKEN, UNCLAIMED (holds but is not claimed), not claimed, not applicable, or UNUSABLE (no map came back)."""
        if self.holds is None:
            return "not applicable"
        if self.holds is False and self.residual is None:
            return "UNUSABLE"
        if self.claimed is False:
            return "UNCLAIMED" if self.holds else "not claimed"
        return "kept" if self.holds else "BROKEN"


@dataclass(frozen=True)
class AxiomReport:
    """The findings on one subject; it prints as a table.

    `report["completeness"]` is one finding, `report.holds("completeness")` its verdict, and iteration gives all findings.
    Raises: KeyError for a law that was not checked, with those that were.

    >>> import torch, pullback as pb
    >>> report = pb.axioms.check_transform(pb.transforms.get("dct", shape=(1, 8)))
    >>> report.holds("isometric"), report["isometric"].residual < 1e-10, len(report.faults)
    (True, True, 0)
    """

    subject: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()  # about the whole report

    @property
    def evaluations(self) -> int:
        """Model evaluations that all findings cost."""
        return sum(f.evaluations for f in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, axiom: str) -> Finding:
        for finding in self.findings:
            if finding.axiom == axiom:
                return finding
        raise KeyError(f"{axiom!r} was not checked; checked: {', '.join(f.axiom for f in self.findings)}.")

    def holds(self, axiom: str) -> bool | None:
        """Whether the axiom holds; None where it does not apply.  Raises: KeyError that lists what was checked."""
        return self[axiom].holds

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Claimed laws that are broken, laws that hold but are not claimed, and answers that are not maps."""
        return tuple(f for f in self.findings if f.verdict in ("BROKEN", "UNCLAIMED", "UNUSABLE"))

    def __str__(self) -> str:
        rows = [(f.verdict, f.axiom, _number(f.residual), _number(f.tolerance), f.statement) for f in self]
        verdict, axiom, residual, tolerance = (max((len(row[i]) for row in rows), default=0) for i in range(4))
        lines = [self.subject]
        for row, finding in zip(rows, self):
            numbers = f"{row[2]:>{residual}} ≤ {row[3]:<{tolerance}}"
            lines.append(f"  {row[0]:<{verdict}}  {row[1]:<{axiom}}  {numbers}  {row[4]}".rstrip())
            lines += _wrapped(finding.reason, " " * (verdict + 4))
        for text in (*self._tolerances(), *(f"note: {note}" for note in self.notes)):
            lines += _wrapped(text, "  ")
        return "\n".join(lines)

    def _tolerances(self) -> Iterator[str]:
        """What the tolerances are made of, once for all laws that share one."""
        laws: dict[str, list[str]] = {}
        for finding in self:
            if finding.tolerance_source:
                laws.setdefault(finding.tolerance_source, []).append(finding.axiom)
        for source, names in laws.items():
            yield f"tolerance of {', '.join(names)}: {source}"

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, ready for JSON."""
        findings = [asdict(f) | {"verdict": f.verdict} for f in self.findings]
        return {"subject": self.subject, "notes": list(self.notes), "evaluations": self.evaluations, "findings": findings}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "AxiomReport":
        """The report that `to_dict` described.

        >>> report = AxiomReport("gradient", (Finding("dummy", True, 0.0, 1e-10),))
        >>> AxiomReport.from_dict(report.to_dict()) == report
        True
        """
        names = [entry.name for entry in fields(Finding)]
        findings = tuple(Finding(**{name: one[name] for name in names}) for one in data["findings"])
        return cls(data["subject"], findings, tuple(data["notes"]))

    def to_json(self) -> str:
        """`to_dict` as text; an infinite residual is null."""
        return json.dumps(_finite(self.to_dict()), indent=1, allow_nan=False)

    def to_html(self) -> str:
        """A page with the table; tolerances, reasons and counterexamples unfold."""
        body = "\n".join(_row(f) for f in self)
        head = "".join(f"<th scope='col'>{name}</th>" for name in (*_HEADS, "evidence"))
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        title = html.escape(self.subject)
        top = f"{_TOP}<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>{notes}"
        table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
        return f"{top}\n<div class='wide' tabindex='0' role='region' aria-label='Axioms'>{table}</div></main></body></html>\n"


def _wrapped(text: str, indent: str) -> list[str]:
    """Lines of at most 120 characters; no line for no text."""
    return textwrap.wrap(text, 120, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


_TOP = (
    "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    "<meta name='viewport' content='width=device-width, initial-scale=1'>"
)
_STYLE = (
    ":root{color-scheme:light dark}body{font:14px sans-serif;margin:1em;overflow-wrap:anywhere}.wide{overflow-x:auto}"
    "td,th{overflow-wrap:normal}td:first-child{color:#000;background:#ccc}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:4px 8px;"
    "text-align:left;vertical-align:top}.broken td:first-child,.unusable td:first-child{background:#e8998d}"
    ".kept td:first-child{background:#b5d6b2}.not td:first-child{background:#ddd}"
    "pre{white-space:pre-wrap;max-width:60em;max-height:20em;overflow:auto}"
)
_HEADS = ("verdict", "axiom", "residual", "tolerance", "tolerance from", "statement", "reason", "evaluations", "source")


def _row(f: Finding) -> str:
    numbers = (_number(f.residual), _number(f.tolerance), f.tolerance_source)
    texts = (f.verdict, f.axiom, *numbers, f.statement, f.reason, str(f.evaluations or ""), f.source)
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
    return f"<tr class={f.verdict.split()[0].lower()!r}>{cells}<td>{_unfold(f)}</td></tr>"


def _unfold(finding: Finding) -> str:
    found = finding.counterexample | finding.details
    text = "\n".join(f"{key}: {json.dumps(_finite(value), ensure_ascii=False)}" for key, value in found.items())
    title = "counterexample" if finding.counterexample else "details"
    return f"<details><summary>{title}</summary><pre tabindex='0'>{html.escape(text)}</pre></details>" if text else ""


def _finite(value: Any) -> Any:
    """`value` with null in place of infinity and NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"

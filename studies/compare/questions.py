"""Declared questions: which contrasts a comparison makes, written down before anything is scored."""

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.checks import check_choice, check_file, check_number, quoted
from ...core.files import read_json, write_text
from ...metrics import get as get_metric
from ...metrics.protocol.conclusion import RULE
from ...metrics.statistics.contrasts import ROPE
from ...metrics.statistics.units import LEAST

COMPARED = ("domain", "control", "method", "model")
ALL = "*"
MAP = "attribution"  # the control that is the map itself
DECLARED = "questions.json"
DEFAULT = """
[[question]]
name = "Map against the ranking by |coefficient|, which never sees the model"
compare = "control"
first = "attribution"
second = "coefficient"
family = "neutral rotation"

[[question]]
name = "Domain against domain: what the map gains over the ranking by |coefficient|"
compare = "domain"
second = "*"
metric = "gain"
family = "neutral rotation"

[[question]]
name = "Method against method"
compare = "method"
second = "*"
family = "neutral rotation"
"""


@dataclass(frozen=True)
class Question:
    """A family of paired contrasts whose claims hold together.

    compare: the column of the table in which two values are set against each other: domain, control, method or model.
    first, second: these values; "*" stands for every other one. Two stars give every pair once.
    metric: the score.  better: "higher" or "lower", where it is no registered metric.
    family: how the removed part is replaced; "away" is the mean over the families that are not the domain's own.
    budgets: averaged in each example; empty for all.  budget_kinds: "count", "energy", "bits"; empty for all. A claim must
    hold under each.  within: columns and the values to which they are restricted.
    level: 1 - the chance of a false claim in the family.  rope: the largest difference that counts as none, in units of the
    score.  least: examples with |f(x) - f(x₀)| below this share of the median are dropped.

    Raises: TypeError or ValueError for other values, and for a domain question about a metric that cannot rank domains.
    """

    name: str
    compare: str = "domain"
    first: tuple[str, ...] = (ALL,)
    second: tuple[str, ...] = ("pixel",)
    metric: str = "selection_error"
    better: str = ""
    family: str = "away"
    budgets: tuple[float, ...] = ()
    budget_kinds: tuple[str, ...] = ()
    within: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    level: float = 0.95
    rope: float = ROPE
    least: float = LEAST

    def __post_init__(self) -> None:
        who = f"question {quoted(self.name)}"
        for name in ("name", "compare", "metric", "better", "family"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{who}: expected text as {name}, got {quoted(getattr(self, name))}.")
        check_choice(who, "compare", self.compare, COMPARED)
        for name in ("first", "second", "budget_kinds"):
            object.__setattr__(self, name, _texts(who, name, getattr(self, name)))
        if not self.first or not self.second:
            raise ValueError(f"{who}: expected values of {self.compare} as first and second, or '*' for all.")
        budgets = self.budgets if isinstance(self.budgets, list | tuple) else (self.budgets,)
        object.__setattr__(self, "budgets", tuple(check_number(who, "budgets", one, 0, 1) for one in budgets))
        within = self.within if isinstance(self.within, Mapping) else {"within": None}
        for column in within:
            check_choice(who, "within", column, [*COMPARED, "data"])
        object.__setattr__(self, "within", {name: _texts(who, f"within.{name}", one) for name, one in within.items()})
        for name, least, most in (("level", 0.5, 0.9999), ("rope", 0, 1e9), ("least", 0, 1)):
            object.__setattr__(self, name, check_number(who, name, getattr(self, name), least, most))
        object.__setattr__(self, "better", self._better(who))

    def _better(self, who: str) -> str:
        """ "higher" or "lower", as it is given or as the metric has it."""
        if self.better:
            check_choice(who, "better", self.better, ("higher", "lower"))
            return self.better
        metric = get_metric(self.metric)
        if metric.better == "neither":
            raise ValueError(f"{who}: {quoted(self.metric)} describes, it has no better; choose another metric.")
        if self.compare == "domain" and not metric.ranks_domains:
            raise ValueError(
                f"{who}: {quoted(self.metric)} cannot rank domains; compare methods by it, or choose another metric."
            )
        return metric.better


def _texts(who: str, name: str, value: Any) -> tuple[str, ...]:
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) and one for one in given):
        raise TypeError(f"{who}: expected a text or a list of texts as {name}, got {quoted(value)}.")
    return tuple(dict.fromkeys(given))


def parse(text: str, source: str = "questions.toml") -> tuple[Question, ...]:
    """The questions of a TOML text: a table [[question]] for each; level, rope and least may also stand once above them.

    Raises: ValueError or TypeError that names the source, the question and what was expected.

    >>> [question] = parse('[[question]]\\nname = "a"\\ncompare = "domain"\\nfirst = "dct"\\nsecond = "pixel"')
    >>> question.better, question.rope
    ('lower', 0.02)
    """
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise ValueError(f"{source}: expected TOML; {error}.") from None
    tables, shared = (
        found.pop("question", None),
        {name: found.pop(name) for name in ("level", "rope", "least") if name in found},
    )
    if found or not isinstance(tables, list) or not tables or not all(isinstance(one, dict) for one in tables):
        rest = f"; not known: {', '.join(found)}"[:100] if found else ""
        raise ValueError(f"{source}: expected tables [[question]], and above them level, rope or least{rest}.")
    known = [field.name for field in dataclasses.fields(Question)]
    for number, one in enumerate(tables, 1):
        if unknown := [name for name in one if name not in known] or ([] if one.get("name") else ["no name"]):
            what = f"question {number}: expected a name, and of the rest only {', '.join(known[1:])}"
            raise ValueError(f"{source}, {what}; got {quoted(unknown[0])}.")
    questions = tuple(Question(**shared | one) for one in tables)
    names = [question.name for question in questions]
    if len(set(names)) < len(names):
        raise ValueError(f"{source}: expected different names, got {quoted(max(names, key=names.count))} more than once.")
    return questions


def default() -> tuple[Question, ...]:
    """The questions where none are declared: controls and domains, scored in the family of a random rotation."""
    return parse(DEFAULT)


def read(path: str | Path) -> tuple[Question, ...]:
    """The questions of a file, see `parse`."""
    text = check_file("questions", path, "give a TOML file with tables [[question]]").read_text(encoding="utf-8")
    return parse(text, Path(path).name)


def content(questions: Sequence[Question]) -> dict[str, Any]:
    """The questions and the rule by which domains are named as plain data, and the SHA-256 of both; comments do not count.

    >>> content(parse(DEFAULT))["sha256"] == content(parse("# a comment" + DEFAULT))["sha256"]
    True
    """
    plain = [json.loads(json.dumps(dataclasses.asdict(question))) for question in questions]
    asked = {"questions": plain, "naming": RULE}
    return asked | {"sha256": hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()}


def declare(questions: Sequence[Question], folder: str | Path) -> str:
    """Writes the questions and their hash into questions.json of a folder, before anything is scored there. Returns the hash.

    Raises: ValueError where the folder declares others: what was asked cannot change once scores are known.
    """
    asked, path = content(questions), Path(folder) / DECLARED
    held = read_json(path)
    if held is not None and held != asked:
        raise ValueError(f"{path.as_posix()[-100:]} declares other questions; choose another folder, or ask the same ones.")
    if held is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(asked, indent=1) + "\n")
    return str(asked["sha256"])

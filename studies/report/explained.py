"""The explanations in a folder of `explain`: for each file and class its score, and the octaves of every domain."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...core.files import plain, read_json
from ...transforms.units import frequency_text
from .cautions import cancels, cautions
from .charts import percent
from .folder import Run

QUESTION = ("image", "content", "model", "method", "baseline", "part", "seed", "target")  # one explanation has one of each


def explanations(run: Run) -> list[dict[str, Any]]:
    """Each explanation, its domains in the order in which they were asked for; none of other commands."""
    found: dict[str, dict[str, Any]] = {}
    for entry, facts in _facts(run).values():
        one = found.setdefault(str([entry.get(key) for key in QUESTION]), _about(entry, facts))
        one["domains"] |= {facts["domain"]: list(_octaves(facts))}
        one["factors"] |= {facts["domain"]: facts.get("cancellation")}
        one["missed"] |= {facts["domain"]} if entry.get("converged") is False else set()
    return [one | {"sentence": _sentence(one), "warnings": _warnings(one)} for one in found.values()]


def captions(run: Run) -> dict[str, str]:
    """What each figure of an explanation shows, with its finding."""
    each = {name: (_about(*held), held[1]) for name, held in _facts(run).items()}
    own: Callable[[Any], dict[str, Any]] = lambda facts: {
        "domains": {facts["domain"]: list(_octaves(facts))},
        "factors": {facts["domain"]: facts.get("cancellation")},
    }
    return {name: _sentence(one | own(facts)) for name, (one, facts) in each.items()}


def _facts(run: Run) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The entry of each file of `explain`, and what was found in its domain."""
    files = run.summary.get("files") if run.summary.get("command") == "explain" else None
    held = files.items() if isinstance(files, dict) else ()
    found = {name: (entry, _beside(run, name)) for name, entry in held}
    return {name: (entry, facts) for name, (entry, facts) in found.items() if {"octaves", "domain", "score"} <= set(facts)}


def _beside(run: Run, name: str) -> dict[str, Any]:
    """The JSON file of the domain whose figure, sound or numbers have this name; {} where there is none."""
    paths = [path for path in run.path.glob("*.json") if name.startswith(path.stem)]
    found = read_json(max(paths, key=lambda path: len(path.stem))) if paths else None
    return found if isinstance(found, dict) else {}


def _about(entry: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """All that is the same in every domain."""
    known = {key: plain(entry.get(key, "")) for key in ("model", "method", "command_line")}
    known |= {"baseline": plain(entry.get("baseline", "zero")), "class": plain(facts.get("class") or facts["target"])}
    known |= {"name": plain(facts.get("name") or Path(facts["image"]).name)}
    numbers = {key: facts[key] for key in ("score", "probability")} | {"difference": facts["score_difference"]}
    held: dict[str, Any] = {"domains": {}, "factors": {}, "missed": set()}
    return known | numbers | held | {"notes": list(map(plain, facts["notes"])), "origins": facts.get("origins", [])}


def _warnings(one: Mapping[str, Any]) -> list[str]:
    return cautions(one["score"], one["difference"], one["factors"], sorted(one["missed"]), len(one["domains"]))


def _octaves(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The octaves of a domain: name, frequencies with their unit, share and total."""
    for one in facts["octaves"]:
        ranges = frequency_text(one["frequencies"], facts["unit"]) if one["frequencies"] else ""
        yield {"name": plain(one["name"]), "frequencies": ranges, "share": one["share"], "total": one["total"]}


def _sentence(one: Mapping[str, Any]) -> str:
    """Which octave has the largest share in each domain."""
    tops = {spec: max(rows, key=lambda row: float(row["share"] or 0)) for spec, rows in one["domains"].items() if rows}
    said = [f"{top['name']} in {spec} ({percent(top['share'] or 0.0)}{_of(top)})" for spec, top in tops.items()]
    each = [text.partition(":")[0] + f" in {spec}" for spec in tops if (text := cancels(one["factors"].get(spec)))]
    doubt = f" Not a share of the score: {'; '.join(each)}." if each else ""
    return f"{one['name']}, class {one['class']}: the largest share of Σ|a| has {', '.join(said)}.{doubt}"


def _of(top: Mapping[str, Any]) -> str:
    return f", {top['frequencies']}" if top["frequencies"] else ""

"""The generated parts of docs/fitted_domains.md, from results/fitted-domains.json."""

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import read
from pullback.domains import contrast, differing
from pullback.metrics.protocol.conclusion import margin
from pullback.metrics.statistics import holm
from pullback.studies.hidden_frame import sentences

from .confirmed_domains import CONFIRMATIONS, NAMED
from .tables import NothingStored, table

TITLES = {
    "photos": "EfficientNet-Lite0, 20 photos, five cuts of each",
    "stamps": "EfficientNet-Lite0, things cut out on white",
    "fashion-erm": "a residual network trained as usual (ERM), Fashion-MNIST",
    "fashion-pgd": "the same network trained against PGD attacks, Fashion-MNIST",
    "fashion-transformer": "a vision transformer, Fashion-MNIST",
    "animals": "YAMNet, parts of about a second of recordings of animals",
    "digits3d": "a network for volumes, digits in space",
}
LEVEL = 0.05
OTHERS = ("twin", "shuffled", "randomised", "coefficient")


def _stored(root: Path, name: str) -> Any:
    found = read(root / "benchmarks" / "results" / "fitted-domains.json").get(name)
    if not found:
        raise NothingStored
    return found


def planted(root: Path) -> str:
    """The recovery of hidden frames."""
    found = _stored(root, "planted")
    whole = pd.DataFrame(found["rows"])
    rows = whole.groupby("kind", sort=False)
    names = {"error_oracle": "hidden frame", "error_fitted": "found", "error_twin": "without the model"}
    names |= {"error_randomised": "randomised network", "angle": "angle", "angle_twin": "angle, without the model"}
    names |= {"angle_randomised": "angle, randomised network"}
    medians = rows[list(names)].median().rename(columns=names).round(3).reset_index()
    said = "\n".join(f"- {sentence}." for sentence in sentences(whole))
    return f"{said}\n\n{table(medians)}\n\nMedians over tasks: mean selection errors, and principal angles in degrees."


def real(root: Path) -> str:
    """One table for each data set, with p values corrected for the comparisons with twins and menus of all of them."""
    rows = _rows(_stored(root, "entries"))
    asked = [(number, other) for number in rows.index for other in ("twin", "menu") if rows[f"p_{other}"].notna()[number]]
    for (number, other), p in zip(asked, holm([rows.loc[number, f"p_{other}"] for number, other in asked])):
        rows.loc[number, f"holm_{other}"] = p
    parts = []
    for data, own in rows.groupby("data", sort=False):
        cells = [_cells(row) for _, row in own.iterrows()]
        count = f"{own['examples'].iloc[0]} examples of {own['groups_twin'].iloc[0]:.0f} groups"
        parts.append(f"**{TITLES[str(data)]}**, {count}\n\n{table(pd.DataFrame(cells))}")
    return "\n\n".join(parts) + f"\n\n{_verdict(rows, len(asked))}"


def _cells(row: pd.Series) -> dict[str, str]:
    """A line of a table."""
    told = {
        "family": f"`{row.family}`",
        "candidates": f"{row.candidates:.0f}",
        "chosen by": row.way,
        "error": f"{row.error:.3f}",
        "gain": _difference(row, "gain") if row.notna()["low_gain"] else "",
    }
    for other, name in (("twin", "twin"), ("menu", "menu")):
        known = row.notna()[f"difference_{other}"]
        told[f"below the {name} by"] = _difference(row, other) if known else ""
        told[f"p, Holm, {name}"] = f"{row[f'holm_{other}']:.2g}" if known else ""
        told[f"seen from, {name}"] = f"{row[f'detectable_{other}']:.4f}" if known and row[f"detectable_{other}"] > 0 else ""
    return told | {"no better than": row.equal}


def _difference(row: pd.Series, other: str) -> str:
    low, high = row[f"low_{other}"], row[f"high_{other}"]
    if low == high == 0:
        return "the same domains"
    return f"{row[f'difference_{other}']:+.4f} ({low:+.4f} to {high:+.4f})"


def _way(one: dict[str, Any]) -> str:
    """How candidates are chosen."""
    most = one["settings"].get("shortlist", 0)
    return f"`{one['settings']['objective']}`" + (f", then the model among {most}" if most else "")


def _rows(entries: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each entry: its error, its gain, and how it compares with its twin, its controls and the menu of its data."""
    order, rows = list(TITLES), []
    menus = {(one["data"], _way(one)): pd.DataFrame(one["judged"]) for one in entries if one["family"] == "menu"}
    for one in sorted(entries, key=lambda one: (order.index(one["data"]), _way(one))):
        judged = pd.DataFrame(one["judged"])
        told = {other: _contrast(judged, judged[other]) for other in OTHERS if other in judged}
        row = {"data": one["data"], "family": one["family"], "way": _way(one), "error": judged["fitted"].mean()}
        row |= {
            "examples": len(judged),
            "candidates": one["candidates"],
            **_named(told["twin"], "twin"),
            **_named(told.get("coefficient", {}), "gain"),
        }
        row["equal"] = ", ".join(name for name in ("shuffled", "randomised") if name in told and not told[name]["low"] > 0)
        menu = menus.get((one["data"], _way(one)))
        best = None if menu is None or one["family"] == "menu" else min(menu["fitted"], menu["twin"], key=lambda e: e.mean())
        rows.append(row | _named({} if best is None else _contrast(judged, best), "menu"))
    return pd.DataFrame(rows)


def _contrast(judged: pd.DataFrame, other: pd.Series) -> dict[str, float]:
    """How much less the fitted domain costs than another."""
    ours, theirs = (column.to_numpy(dtype=float) for column in (judged["fitted"], other))
    return contrast(ours, theirs, judged["group"].to_numpy())


def _named(found: dict[str, Any], other: str) -> dict[str, float]:
    wanted = ("difference", "low", "high", "p", "groups", "detectable")
    return {f"{name}_{other}": float(found.get(name, "nan")) for name in wanted}


def _verdict(rows: pd.DataFrame, count: int) -> str:
    """Which families beat their twin after the correction, which also beat all controls, and which beat the menu."""
    said = [f"P values are corrected by Holm for {count} comparisons."]
    name = lambda part: ", ".join(f"`{row.family}` ({row.way}) on {row.data}" for row in part.itertuples()) or "none"
    for other, title in (("twin", "its model-blind twin"), ("menu", "the best of the menu")):
        sure = rows[rows[f"holm_{other}"] < LEVEL]
        won, lost = sure[sure[f"difference_{other}"] > 0], sure[sure[f"difference_{other}"] < 0]
        said.append(f"Better than {title}: {name(won)}. Worse: {name(lost)}.")
    better = (rows["holm_twin"] < LEVEL) & (rows["difference_twin"] > 0) & (rows["equal"] == "")
    both = rows[better & (rows["holm_menu"] < LEVEL) & (rows["difference_menu"] > 0)]
    said.append(
        f"Better than its twin and than both controls: {name(rows[better])}; and than the best of the menu too: {name(both)}."
    )
    gains = [("Ranking by |a| is better than by |z - z₀|", rows["low_gain"] > 0), ("It is worse", rows["high_gain"] < 0)]
    said += [f"{title}: in {int(part.sum())} of {int(rows['low_gain'].notna().sum())} rows." for title, part in gains]
    return "\n".join(f"- {line}" for line in said)


def elsewhere(root: Path) -> str:
    """How domains that were fitted to one model do on others."""
    parts = []
    for name, found in _stored(root, "transfer").items():
        rows = pd.DataFrame(found["rows"])
        rows["differs"] = differing(rows)
        models = list(dict.fromkeys(rows["judged_on"]))
        lines = []
        for fitted_on in models:
            own = rows[rows["fitted_on"] == fitted_on].set_index("judged_on")
            lines.append({"fitted on": fitted_on, **{model: _transferred(own, model) for model in models}})
        parts.append(f"**{name}**, chosen by `{found['objective']}`\n\n{table(pd.DataFrame(lines))}")
    return "\n\n".join(parts)


def _transferred(own: pd.DataFrame, model: str) -> str:
    """The error, and where it differs from that of the model's own domain after the correction, by how much."""
    if model not in own.index:
        return ""
    row = own.loc[model]
    return f"{row['error']:.3f}" + (f" ({row['over_own']:+.3f})" if row["differs"] else "")


def protocol(root: Path) -> str:
    """What the comparison protocol says of some searches."""
    found = _stored(root, "concluded")
    said = "\n".join(
        f"- {TITLES[one['data']]}, `{one['family']}`, {one['examples']} examples: {_said(one)}" for one in found.values()
    )
    named = [key for key, one in found.items() if _named_today(one)]
    count = f"A fitted domain is named in {len(named)} of {len(found)} searches: {'; '.join(named) or 'none'}."
    if bare := [key for key, one in found.items() if "checks" not in one]:
        count += f" Of {'; '.join(bare)} not all intervals were stored that today's rule asks for."
    return f"{said}\n\n{count}"


def _short(one: dict[str, Any]) -> list[str]:
    """The rivals and controls over which the lead may be too small for today's rule, as far as intervals were stored."""
    error = one["errors"]["fitted"]
    return [name for name, (lead, low, *_) in one.get("checks", {}).items() if low <= margin(name, lead, error)]


def _named_today(one: dict[str, Any]) -> bool:
    return one["named"] == "fitted" and not _short(one)


def _said(one: dict[str, Any]) -> str:
    """The sentence of a conclusion, and whether today's rule would still name the domain."""
    if one["named"] is None or not _short(one):
        return str(one["said"])
    return f"{one['said']} By today's rule it is not named: its lead over {' and '.join(_short(one))} may be too small."


def confirmed(root: Path) -> str:
    """What the protocol says on pictures that no part of a search held, corrected for all questions that were declared."""
    found = _stored(root, "confirmed")
    declared = [f"{family}, {search}" for search in CONFIRMATIONS for family in NAMED]
    together = dict(zip(declared, holm([found[key]["p"] if key in found else 1.0 for key in declared])))
    asked = {key: found[key] for key in declared if key in found}
    named = {key: _named_today(one) and together[key] <= LEVEL for key, one in asked.items()}
    rows = [_confirmation(one, float(together[key]), named[key]) for key, one in asked.items()]
    lines = []
    for search in CONFIRMATIONS:
        own = [named[key] for key, one in asked.items() if one["search"] == search]
        lines.append(f"{search}: the fitted domain is named in {sum(own)} of {len(own)}." if own else f"{search}: not run.")
    lines += [f"{key}: {_said(one)}" for key, one in asked.items() if not named[key]]
    return f"{table(pd.DataFrame(rows))}\n\n" + "\n".join(f"- {line[0].upper()}{line[1:]}" for line in lines)


def _confirmation(one: dict[str, Any], p: float, named: bool) -> dict[str, str]:
    """A line of the table: the errors, the smallest difference that the name stands for, and p after Holm over the lines."""
    told = {"family": f"`{one['family']}`", "search": one["search"], "new pictures": str(one["examples"])}
    for name in ("fitted", "twin", "menu", "menu without the model", "not fitted"):
        told[name] = f"{one['errors'][name]:.3f}" if name in one["errors"] else ""
    if "not fitted" in one["domains"]:
        told["not fitted"] += f", `{one['domains']['not fitted']}`"
    alike = next(group for group in one["groups"] if "fitted" in group)
    told["smallest difference"] = f"selects the same signal as {' and '.join(name for name in alike if name != 'fitted')}"
    if len(alike) == 1:
        against = one["checks"] if one["leader"] == "fitted" else one["rivals"]
        rival, (mean, low, high, *_) = min(against.items(), key=lambda each: each[1][0])
        told["smallest difference"] = f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}), to {rival}"
    return told | {"p, Holm": f"{p:.2g}", "named": "yes" if named else "no"}


WORK = {  # of a stored cost: what was done, its goal, and in which unit
    "l1": ("50 candidates by l1", 0.1),
    "entropy": ("50 candidates by entropy", 0.1),
    "selection": ("50 candidates by selection", 0.1),
    "training": ("training one lattice", 60.0),
}
BARE = "their 50 transforms of both tensors alone, built before, none going on from another"


def cost(root: Path) -> str:
    """What a search costs."""
    rows = []
    for numbers in _stored(root, "cost").values():
        about = {"data": TITLES[numbers["data"]], "images": f"{numbers['images']:.0f}"}
        for name, (work, goal) in WORK.items():
            value, share = numbers[name], goal < 1
            told = {**about, "work": work}
            told["cost"] = f"{value:.2%} of their stream" if share else f"{value:.2g} s"
            told["goal"] = (f"{goal:.0%}" if share else f"{goal:.0f} s") + (", met" if value <= goal else ", missed")
            rows.append(told)
        rows.append({**about, "work": BARE, "cost": f"{numbers['bare']:.2%} of their stream", "goal": ""})
    return table(pd.DataFrame(rows))


SECTIONS = {"fitted-planted": planted, "fitted-real": real, "fitted-transfer": elsewhere, "fitted-cost": cost}
SECTIONS |= {"fitted-protocol": protocol, "fitted-confirmed": confirmed}

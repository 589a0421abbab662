"""The tables of accelerator.md: what test_accelerator.py and the other suites stored of a run on a GPU."""

from collections.abc import Callable, Iterator
from pathlib import Path

from . import tables
from .stored import NOT_YET, Entry, entries, goal, number, ratio, run, table

SUITES = ("accelerator", "peers", "limits", "growth", "stream", "transforms")
GPU = "cuda"


def machine(results: Path) -> str:
    """Where each suite ran."""
    found = {suite: stored for suite in SUITES if (stored := run(results, suite, GPU))}
    lines = [f"- `results/{suite}-{GPU}.json`: {stored.source}" for suite, stored in found.items()]
    missing = [f"`{suite}`" for suite in SUITES if suite not in found]
    return "\n".join(lines + ([f"- Not measured on a GPU yet: {', '.join(missing)}."] if missing else []))


def execution(results: Path) -> str:
    """SmoothGrad through `attribute` against the eager float32 loop."""
    rows = [
        (
            e["model"],
            e["options"],
            f"{e['rows_per_s']:,.0f}",
            f"{e['rows'] / e['bare_s']:,.0f}" if "bare_s" in e else number(e, "loop_rows_per_s", ",.0f"),
            ratio(e),
            goal(e),
            number(e, "first_s", ".1f"),
            number(e, "cosine", ".4f"),
            number(e, "of_floor", ".2f"),
            number(e, "peak_mb", ",.0f"),
        )
        for e in entries(results, "accelerator", GPU, "test_execution")
    ]
    return table(
        (
            "model",
            "options",
            "rows / s",
            "rows / s of the loop",
            "time / the loop's",
            "goal",
            "first call, s",
            "cosine with fp32",
            "floor / time",
            "peak, MB",
        ),
        rows,
    )


def reached(results: Path) -> str:
    """Where bf16 and compiling reach their goal; what `auto` chose."""
    found = [e for e in entries(results, "accelerator", GPU, "test_execution") if "goal" in e]
    best = {
        e["model"]: min((o for o in found if o["model"] == e["model"]), key=lambda o: float(o["ratio"])) for e in found
    }
    if not best:
        return NOT_YET
    met = [f"{model} ({1 / e['ratio']:.1f} ×)" for model, e in best.items() if e["ratio"] <= e["goal"]]
    missed = [f"{model} ({1 / e['ratio']:.1f} ×)" for model, e in best.items() if e["ratio"] > e["goal"]]
    said = (
        f"bf16 and compiled, the better memory format: at least 3 × the eager float32 loop on {', '.join(met) or 'none'}; "
        f"**missed** on {', '.join(missed) or 'none'}."
    )
    return "\n\n".join([said, *_where_it_goes(results, [e for e in best.values() if e["ratio"] > e["goal"]])])


def _where_it_goes(results: Path, missed: list[Entry]) -> Iterator[str]:
    """How much of the time the network itself takes, compiled and alone, where that was tried."""
    trials = run(results, "trials", GPU)
    for e in missed:
        alone = None if trials is None else trials.noted.get(f"loop[{e['model']}-bf16 channels_last compiled]")
        if alone is not None:
            ours, network = 1e3 * e["rows"] / e["rows_per_s"], 1e3 * e["rows"] / alone["rows_per_s"]
            yield (
                f"{e['model']}: {e['rows']} rows take {ours:.0f} ms; the compiled network alone takes {network:.0f} (Trials, "
                "below). What each call adds outweighs a network as light as this: f(x) and f(x₀) in eager single precision, "
                "and noise that is drawn row by row."
            )


def formats(results: Path) -> str:
    """Cosines of maps in narrower formats."""
    rows = [
        (e["model"], f"`{e['method']}`", *(f"{e[name]:.5f}" for name in ("fp32", "tf32", "bf16", "auto")), e["chosen"])
        for e in entries(results, "accelerator", GPU, "test_maps_in_narrower_formats")
    ]
    return table(("model", "method", "fp32", "tf32", "bf16", "`auto`", "`auto` takes"), rows)


def bandwidth(results: Path) -> str:
    """T, its inverse and its adjoint as shares of a copy's speed."""
    found = entries(results, "accelerator", GPU, "test_bandwidth")
    rows = [
        (
            f"`{_closed(e['spec'])}`",
            f"{e['milliseconds']:.2f}",
            *(number(e, job, ".2f") for job in ("analysis", "synthesis", "adjoint")),
        )
        for e in found
    ]
    if not rows:
        return NOT_YET
    met = [f"`{_closed(e['spec'])}`" for e in found if e["analysis"] >= e["goal"]]
    said = f"{', '.join(met)} reach the goal." if met else "**No transform reaches the goal.**"
    return f"{said}\n\n{table(('transform', 'T, ms', 'T', 'T⁻¹', 'adjoint'), rows)}"


def _closed(spec: str) -> str:
    """Older runs cut names off."""
    return spec if spec.count("(") == spec.count(")") else f"{spec}…"


def domains(results: Path) -> str:
    """Ten domains against one."""
    lines = [
        f"{e['images']} photos, {e['backward'] // e['images']} gradients each: {1e3 * e['ours_s']:.0f} ms in ten domains, "
        f"{1e3 * e['bare_s']:.0f} ms in one; {ratio(e)}, goal {goal(e)}."
        for e in entries(results, "stream", GPU, "test_ten_domains_cost_the_rows_of_one")
    ]
    return "\n".join(lines) or NOT_YET


def peers(results: Path) -> str:
    """Ours over other libraries."""
    stored = run(results, "peers", GPU)
    rows = (
        []
        if stored is None
        else [
            (
                e["peer"] + (" (for equal rows)" if e.get("for_equal_rows") else ""),
                f"`{e['method']}`" if "method" in e else "",
                ratio(e),
                goal(e),
                number(e, "peak_mb", ",.0f"),
                number(e, "their_peak_mb", ",.0f"),
            )
            for e in stored.noted.values()
        ]
    )
    return table(("peer", "ours", "time of ours / theirs", "goal", "peak, MB", "theirs, MB"), rows)


def limits(results: Path) -> str:
    """Every method over the bare loop."""
    return tables.limits(results, GPU)


def growth(results: Path) -> str:
    """Slopes."""
    stored = run(results, "growth", GPU)
    rows = (
        []
        if stored is None
        else [
            (
                test.split("[")[1].rstrip("]"),
                f"{e['slope']:.2f}",
                f"{e['slope_low']:.2f}–{e['slope_high']:.2f}" if "slope_low" in e else "",
                f"{e['expected'][0]} to {e['expected'][1]}, {'met' if e['within'] else 'missed'}",
            )
            for test, e in stored.noted.items()
        ]
    )
    return table(("time against", "log-log slope", "95 % interval", "expected"), rows)


def chunks(results: Path) -> str:
    """Rows per second of the eager loop at several chunk sizes, and of the compiled one."""
    found = entries(results, "trials", GPU, "loop")
    names = ("fp32", "tf32", "tf32 channels_last", "bf16", "bf16 channels_last")
    rows = [
        (e["model"], str(e["chunk"]), *(number(e, f"{name} rows_per_s", ",.0f") for name in names))
        for e in found
        if "fp32 rows_per_s" in e
    ]
    stored = run(results, "trials", GPU)
    compiled = {} if stored is None else {name: e for name, e in stored.noted.items() if "ratio" in e}
    said = [
        f"- {name.removeprefix('loop[').rstrip(']')}: {e['rows_per_s']:,.0f} rows / s, {1 / e['ratio']:.1f} × the eager "
        f"float32 loop"
        for name, e in compiled.items()
    ]
    return "\n\n".join([table(("model", "chunk", *names), rows), "\n".join(said)]).strip()


def levels(results: Path) -> str:
    """Ideas for one level of a wavelet."""
    stored = run(results, "trials", GPU)
    if stored is None:
        return NOT_YET
    found = {name.split("[")[1].rstrip("]"): e for name, e in stored.noted.items() if name.startswith("level[")}
    ideas = {
        "windows × one small matrix, as in the library": "library_ms",
        "one 2-D convolution with four filters": "convolution_2d_ms",
        "two 1-D convolutions": "convolutions_1d_ms",
        "the library's level through torch's compiler": "compiled_ms",
        "a copy": "copy_ms",
    }
    rows = [(idea, *(f"{e[key]:.2f}" for e in found.values())) for idea, key in ideas.items()]
    return table(("ms", *found), rows)


def kernels(results: Path) -> str:
    """What transforms took before and after they became kernels and products."""
    stored = run(results, "trials", GPU)
    if stored is None:
        return NOT_YET
    found = [e for name, e in stored.noted.items() if name.startswith("now[")]
    rows = [
        (
            f"`{e['spec']}`",
            *(number(e, key, ".2f") for key in ("before_ms", "milliseconds", "queued_ms")),
            f"{e['copy_ms'] / e.get('queued_ms', e['milliseconds']):.2f}",
            *(number(e, key, ".2f") for key in ("before_synthesis_ms", "synthesis_ms", "queued_synthesis_ms")),
        )
        for e in found
    ]
    ahead = [
        f"{e['spec']} {e['kernels_ms']:.2f} and {e['kernels_synthesis_ms']:.2f} ms, {e['compile_s']:.0f} s to compile both"
        for name, e in stored.noted.items()
        if name.startswith("look ahead[")
    ]
    said = f"With the next rows asked for before these are used (not kept), T and T⁻¹ alone: {'; '.join(ahead)}."
    head = ("ms", "T before", "T now", "T queued", "share of a copy", "T⁻¹ before", "T⁻¹ now", "T⁻¹ queued")
    return f"{table(head, rows)}\n\n{said}"


def lengths(results: Path) -> str:
    """A DCT as a product and as an FFT, by the samples of the axis."""
    stored = run(results, "trials", GPU)
    found = {} if stored is None else stored.noted.get("n products[dct]", {})
    rows = [(n, f"{product:.2f}", f"{fft:.2f}") for n, (product, fft) in found.items()]
    return table(("samples of the axis", "matrix product, ms", "FFT, ms"), rows)


SECTIONS: dict[str, Callable[[Path], str]] = {
    "machine": machine,
    "execution": execution,
    "reached": reached,
    "formats": formats,
    "bandwidth": bandwidth,
    "domains": domains,
    "peers": peers,
    "limits": limits,
    "growth": growth,
    "chunks": chunks,
    "levels": levels,
    "kernels": kernels,
    "lengths": lengths,
}

"""Everything that a graphics card shows, in less than eight minutes: `make gpu`, or python -m benchmarks.scripts.gpu.

Each part is a process of its own and stores its results as it ends, so that a cut-off keeps the parts before. A part that takes
longer than its share is interrupted, and what it has measured by then is stored with a note. The most telling parts come first.

--device cpu --rehearse runs one small case of each part on the CPU and stores nothing: for crashes.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.results.store import trimmed
from benchmarks.results.stored import RESULTS, ROOT
from pullback.core.files import write_text

WORK = ROOT / "results" / "gpu"  # reports and logs of the parts
TOTAL = 470.0  # seconds
GRACE = 20.0  # seconds after an interruption in which a part writes what it has
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
BENCH = [*PYTEST, "-o", "addopts=", "-o", "pythonpath=.", "--import-mode=importlib", "--confcutdir=benchmarks"]
BENCH += ["-o", "filterwarnings=default", "--benchmark-quiet"]
SUITES = "benchmarks/suites/test_"


@dataclass(frozen=True)
class Part:
    """A suite, or tests.

    seconds: its share.  chosen: the cases that run, as pytest's -k takes them; "" is all.  rehearsed: those of a rehearsal.
    paths: of tests.
    """

    name: str
    seconds: float
    chosen: str = ""
    rehearsed: str = ""
    paths: tuple[str, ...] = ()

    def command(self, report: Path, rehearse: bool) -> list[str]:
        """What is run; a suite writes `report`."""
        chosen = self.rehearsed if rehearse else self.chosen
        only = ["-k", chosen] if chosen else []
        if self.paths:
            return [sys.executable, *PYTEST, "-n", "0", *self.paths, *only]
        return [sys.executable, *BENCH, f"--benchmark-json={report}", f"{SUITES}{self.name}.py", *only]


CUDA_TESTS = ("tests/contracts/test_cuda.py", "tests/attribution/engine/test_execution.py")
PARTS = (
    Part("tests", 60, rehearsed="test_cuda", paths=(*CUDA_TESTS, "tests/transforms/wavelets/test_triton_kernels.py")),
    Part("optimize", 45, rehearsed="smoothgrad and contiguous"),
    Part("accuracy", 60, rehearsed="test_time_to_accuracy and 0.05-1"),
    Part("stream", 20),
    Part("accelerator", 130, rehearsed="haar or test_execution"),
    Part("peers", 50, rehearsed="Sparseness or IntegratedGradients"),
    Part("limits", 50, "not (mask or hsic or rise or lime or sobol or kernel_shap or captum)", "smoothgrad and 1"),
    Part("transforms", 35, "test_transform or test_ten", "test_transform and dct and audio"),
    Part("growth", 30, rehearsed="samples"),
)


def run(part: Part, out: Path | None, environment: Mapping[str, str], seconds: float) -> str:
    """Runs a part for at most so many seconds, and stores in `out` what it wrote; None rehearses. Returns a line about it."""
    report, log = WORK / f"{part.name}.json", WORK / f"{part.name}.log"
    report.unlink(missing_ok=True)
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        how = {"cwd": ROOT, "env": dict(environment), "stdout": output, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(part.command(report, out is None), preexec_fn=_interruptible, **how)  # type: ignore[call-overload]
        status = _waited(process, seconds)
    took = time.monotonic() - start
    said = "ended well" if status == 0 else "was cut off" if took >= seconds else f"failed, see {log}"
    if part.paths:
        last = (log.read_text(encoding="utf-8").strip().splitlines() or ["nothing was printed"])[-1]
        if out is not None:
            content = {"exit_status": status, "seconds": round(took, 1), "said": last}
            write_text(out / f"{part.name}-cuda.json", json.dumps(content, indent=1) + "\n")
        return f"{part.name}: {said} after {took:.0f} s: {last}"
    stored = [] if out is None else _store(part, report, out, status)
    return f"{part.name}: {said} after {took:.0f} s{f'; stored {chr(44).join(stored)}' if stored else ''}"


def _interruptible() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _waited(process: "subprocess.Popen[bytes]", seconds: float) -> int:
    """The exit status. After so many seconds the process is interrupted, as by Ctrl-C, and then ended."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(GRACE)
    process.kill()
    return process.wait()


def _store(part: Part, report: Path, folder: Path, status: int) -> list[str]:
    """The names of the files that were written; none where the suite wrote nothing."""
    if not report.exists() or not report.read_text(encoding="utf-8").strip():
        return []
    found = json.loads(report.read_text(encoding="utf-8"))
    if not found["benchmarks"]:
        return []
    notes = [f"Cases: {part.chosen}."] if part.chosen else []
    notes += [f"The suite ended with status {status} after {len(found['benchmarks'])} cases."] if status else []
    files = trimmed(found, " ".join(notes))
    for name, content in files.items():
        write_text(folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return list(files)


def environment(device: str, rehearse: bool) -> dict[str, str]:
    """The variables of the parts."""
    found = dict(os.environ) | {"PULLBACK_BENCH_ROUNDS": "3", "PYTHONUNBUFFERED": "1"}
    found |= {"PULLBACK_BENCH": "quick"} if rehearse else {}
    return found | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})


def main(arguments: Sequence[str] | None = None, parts: Sequence[Part] = PARTS) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--rehearse", action="store_true", help="one small case of each part; nothing is stored")
    parser.add_argument("--only", action="append", choices=[part.name for part in parts], help="only this part; repeat it")
    parser.add_argument("--seconds", type=float, default=TOTAL, help="of all parts together")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for results")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no graphics card; --device cpu --rehearse shows whether the parts run.")
    WORK.mkdir(parents=True, exist_ok=True)
    end, failed = time.monotonic() + given.seconds, 0
    for part in (part for part in parts if not given.only or part.name in given.only):
        left = end - time.monotonic() - GRACE
        if left <= 0:
            sys.stdout.write(f"{part.name}: not begun, since {given.seconds:.0f} s are over\n")
            failed += 1
            continue
        share = left if given.rehearse else min(part.seconds, left)
        line = run(part, None if given.rehearse else given.out, environment(given.device, given.rehearse), share)
        failed += " ended well " not in line
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

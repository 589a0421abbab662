"""The peak memory of one job in a process of its own: `python -m benchmarks.measure.child SIDE KIND CHUNK QUICK` prints JSON.

Memory that a process has freed may still count for it, so that one job after another cannot be compared in one process.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..subjects.models import Subject, network, signals
from . import calls
from .counting import bare_steps

# The network, and the signal that it is asked about; at reduced size, a smaller one.
LARGE = {
    "512² image": ("resnet50", (3, 512, 512), (3, 64, 64)),
    "128³ volume": ("volume", (1, 128, 128, 128), (1, 16, 16, 16)),
    "60 s clip at 44.1 kHz": ("audio", (1, 60 * 44_100), (1, 4_096)),
}
METHOD = "integrated_gradients(steps={n})"
SIDES = {"one domain": ["dwt(db4, level=3)"], "three domains": ["pixel", "dwt(db4, level=3)", "dct"]}


def resident() -> int:
    """The most bytes that this process has held so far. `getrusage` would count those of the process that started it."""
    sizes = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(sizes["VmHWM"].split()[0]) * 1024


def job(side: str, kind: str, chunk: int, quick: bool) -> dict[str, Any]:
    """Peak bytes before and after integrated gradients in the domains of a side, or the bare loop of as many gradients."""
    name, full, small = LARGE[kind]
    shape, steps = (small, 2) if quick else (full, 8)
    case = Subject(name, network(name, "cpu", shape), signals((1, *shape)))
    before = resident()
    if side in SIDES:
        found = calls.attribute(case.module, case.x, case.target, METHOD.format(n=steps), SIDES[side])
        chunk = int(found[0].settings["batch_size"])
    else:
        for _, step in bare_steps(case.module, case, chunk, (steps, steps)):
            step()
    return {"chunk": chunk, "before": before, "peak": resident()}


def in_child(side: str, kind: str, chunk: int = 0, quick: bool = False) -> dict[str, Any]:
    """`job` in a process of its own."""
    command = [sys.executable, "-m", __name__, side, kind, str(chunk), str(int(quick))]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(found.stdout.splitlines()[-1]))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(job(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1")) + "\n")

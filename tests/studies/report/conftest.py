"""Folders of results of each kind of signal, their pages, and one browser for all tests of a process."""

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from support import ROOT
from support.tiny import settings, tiny
from torch import Tensor, nn

from pullback import studies
from pullback.studies import LoadedModel
from pullback.studies.report import figures
from pullback.studies.report.report import write_page
from pullback.studies.report.section import write_section
from pullback.studies.storage.results import Results

HOSTILE = ("<img src=x onerror=alert(1)>", "a\"b'c#?%", "שלום עולם")
CHROMIUM = os.environ.get("PULLBACK_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
METHODS = ("integrated_gradients(steps=2)", "input_x_gradient")


class Halves(nn.Module):
    """Two smooth scores of a signal of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(x.flatten(1))
        return torch.stack([y[:, ::2].sum(1), y[:, 1::3].sum(1)], 1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of results for each kind of signal; their figures are single points, since drawing takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (figures, sys.modules["pullback.studies.explain"], sys.modules["pullback.studies.axiom_matrix.run"]):
            patch.setattr(module, "save", _point)
        patch.setattr(figures, "overview", lambda table, out, texts: [])
        return _folders(tmp_path_factory)


def _point(figure: Any, path: Path) -> str:
    Image.new("RGB", (1, 1)).save(path)
    return path.name


def _folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("report") / "re#port's <b>folder"
    root.mkdir()
    write: dict[str, Callable[[Path], None]] = {"audio": _audio, "series": _series, "volume": _volume}
    found = {"image": _photos(root)}
    domains = {
        "audio": ("stft", "dwt(db8, level=3)"),
        "series": ("pixel", "dwt(haar, level=3)"),
        "volume": ("dwt(haar, level=2)",),
    }
    for kind, one in write.items():
        data = root / f"{kind}-data"
        data.mkdir()
        one(data)
        asked = studies.Settings(
            model=f"toy-{kind}", data=data, method="input_x_gradient", transforms=domains[kind], effort="quick", pictures=1
        )
        model = LoadedModel(f"toy-{kind}", Halves().eval(), classes=("Crow", "Caw"), kind=kind)
        found[kind] = studies.compare(asked, root / kind, model=model).out
    return found | {"explain": _explained(root), "study": _study(root), **_axioms(root)}


def _explained(root: Path) -> Path:
    """One picture with a hostile name, and two classes."""
    for target in (0, 1):
        studies.explain(
            root / "pictures" / f"{HOSTILE[0]}.png", model=tiny(), method="gradient", out=root / "explain", target=target
        )
    write_page([root / "explain"])
    return root / "explain"


def _study(root: Path) -> Path:
    """What a study leaves: a summary, a table, a figure, a sound, and what its page says of them."""
    out = root / "study"
    with Results(out, "study toy").run({"settings": {"seed": 0}}):
        Image.new("RGB", (40, 20), "red").save(out / "fig#1.png")
        wavfile.write(out / "one.wav", 8000, np.zeros(80, np.int16))
        table = pd.DataFrame({"domain": ["<b>dct</b>", "pixel", "dwt"], "error": [0.1, 0.25, np.nan]})
        table.to_csv(out / "results.csv", index=False)
        write_section(
            out,
            "Toy <i>study</i>",
            [("Errors", table.iloc[[2, 0]], "results.csv")],
            {"fig#1": "Red all over."},
            "How to read it.",
        )
        Results(out, "study toy").update({"findings": ["The toy is red."], "files": ["fig#1.png", "one.wav", "results.csv"]})
    write_page([out])
    return out


def _axioms(root: Path) -> dict[str, Path]:
    """The page of one method, and that of a matrix, under the name of reports."""
    subject = studies.Subject(nn.Linear(4, 2).double(), torch.full((1, 4), 2.0).double(), 0)
    texts = {"axioms": studies.check_method(subject, "gradient", axioms=["completeness", "dummy"]).to_html()}
    studies.write_matrix({"line": subject}, root / "cells", methods=["gradient"], axioms=["completeness", "dummy"])
    texts["matrix"] = (root / "cells" / "matrix.html").read_text()
    for name, text in texts.items():
        (root / name).mkdir()
        (root / name / "report.html").write_text(text)
    return {name: root / name for name in texts}


def _photos(root: Path) -> Path:
    data = root / "pictures"
    data.mkdir()
    rng = np.random.default_rng(0)
    for name in (*HOSTILE, "plain"):
        small = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        small.resize((20, 20), Image.Resampling.BICUBIC).save(data / f"{name}.png")
    (data / "bro<ken.jpg").write_text("no picture")
    domains = ("pixel", "dwt(haar, level=2)", "dct")
    asked = dataclasses.replace(settings(data), method=METHODS, transforms=domains, effort="quick", pictures=4)
    return studies.compare(asked, root / "ima#ge", model=tiny()).out


def _audio(data: Path) -> None:
    times = np.arange(2000) / 16000
    wavfile.write(data / "tone.wav", 16000, (16000 * np.sin(6000 * times) * np.exp(-8 * times)).astype(np.int16))


def _series(data: Path) -> None:
    walk = np.random.default_rng(0).normal(size=(3, 128)).cumsum(1)
    np.savez(data / "walk.npz", values=walk, channels=["Fp1", "<b>Cz</b>", "O2"], rate=128.0)


def _volume(data: Path) -> None:
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size) for size in (12, 16, 8)], indexing="ij"))
    np.savez(data / "ball.npz", values=np.exp(-8 * (grid**2).sum(0)).astype(np.float32), spacing=[1.0, 1.0, 2.0])


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, started once in each process."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: `make browser` installs it, or PULLBACK_CHROMIUM names it")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'pullback[test]'")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page that is open, and what it said and asked for.  problems: errors of the console.  requests: outside the page."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append("alert"), dialog.dismiss()))
        self.page.on("request", lambda asked: None if asked.url.startswith("data:") else self.requests.append(asked.url))
        self.page.goto(path.as_uri())
        self.url = path.as_uri()

    def shot(self, name: str, **options: Any) -> None:
        """Keeps a screenshot, to be looked at."""
        folder = ROOT / "results" / "report"
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png", **options)


@pytest.fixture
def visit(browser: Any, folders: dict[str, Path]) -> Iterator[Callable[..., Opened]]:
    """Opens a page, by the kind of its signals or by its path; afterwards nothing may have gone wrong in it."""
    opened: list[Opened] = []

    def visit(which: str | Path, **options: Any) -> Opened:
        path = which if isinstance(which, Path) else folders[which] / "report.html"
        opened.append(Opened(browser, path, **options))
        return opened[-1]

    yield visit
    for one in opened:
        one.context.close()
        assert one.problems == []
        assert one.requests[0] == one.url

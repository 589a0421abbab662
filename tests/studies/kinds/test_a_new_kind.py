"""A fifth kind is one class and one line: the example of CONTRIBUTING.md, from file to figure."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support import ROOT
from support.source import library
from torch import nn

from pullback import studies
from pullback.studies import KINDS, LoadedModel


def test_the_kind_of_the_guide_is_read_explained_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
        if "LightCurve" in block
    ]
    exec(code, names)
    monkeypatch.setitem(KINDS, "light_curve", names["LightCurve"]())
    (tmp_path / "star.lc").write_text("\n".join(map(str, torch.arange(64.0).sin().tolist())))
    model = LoadedModel("toy", nn.Sequential(nn.Flatten(), nn.Tanh()), kind="light_curve")
    found = studies.explain(
        tmp_path / "star.lc", model=model, transforms=["dct"], method="input_x_gradient", target=3, out=tmp_path / "out"
    )
    assert found.files == ["star-3-dct.png", "star-3-dct.json", "star-3-dct-top10.npy"]
    assert found.frequencies["dct"]["octave 1"] == "0.25–0.5 cycles/day"
    with pytest.raises(ValueError, match=r"star\.lc: a light curve, but the model toy takes recordings"):
        studies.explain(tmp_path / "star.lc", model=LoadedModel("toy", nn.Flatten(), kind="audio"), out=tmp_path / "o")


def comparisons(tree: dict[str, str]) -> set[str]:
    """Code that asks for one of the kinds by its name, or lists them, as "file: code"; their own folder may."""
    names, found = {"image", "audio", "volume", "series"}, set()
    for path, text in tree.items():
        for node in ast.walk(ast.parse(text)) if not path.startswith("studies/kinds/") else ():
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            sides += [node.slice] if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal" else []
            for side in sides:
                held = [one for one in getattr(side, "elts", [side]) if isinstance(one, ast.Constant)]
                if held and {one.value for one in held} <= names:
                    found.add(f"{path}: {ast.unparse(node)}")
    return found


def test_no_code_asks_for_a_kind_by_its_name() -> None:
    assert comparisons(library()) == set()
    text = 'if kind == "image" or m.kind in ("audio", "series"): pass\nKind = Literal["image", "volume"]\nrow["image"] == 1\n'
    assert len(comparisons({"a.py": text})) == 3
    assert comparisons({"studies/kinds/a.py": text}) == set()

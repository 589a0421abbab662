"""Maps that did not converge are counted, and said in the report."""

from pathlib import Path

from support.runs import run, summary
from support.tiny import tiny

from pullback import studies
from pullback.studies.report.report import write_page


def test_maps_that_did_not_converge_are_counted(pictures: Path, tmp_path: Path) -> None:
    tight = {"method": "integrated_gradients(tol=1e-9, max_evaluations=20)", "limit": 2, "transforms": ("pixel", "dct")}
    _, found = run(pictures, tmp_path / "o", **tight)
    assert found.summary["convergence"]["maps"] == found.summary["convergence"]["not_converged"] == 4
    assert found.summary["convergence"]["largest_map_error"] > 0
    worst = found.table["uncorrected_gap"].max()
    assert found.summary["convergence"]["largest_residual"] == worst > 1e-9  # why they did not
    text = (tmp_path / "o" / "report.html").read_text()
    assert "4 of 4 maps did not converge" in text
    _, plain = run(pictures, tmp_path / "p", **(tight | {"method": "gradient"}))
    assert plain.summary["convergence"] == {"maps": 0, "not_converged": 0, "largest_map_error": None, "largest_residual": None}
    assert "did not converge" not in (tmp_path / "p" / "report.html").read_text()
    named = studies.explain(
        pictures / "1.png", model=tiny(), method=tight["method"], transforms=["dct", "pixel"], out=tmp_path / "e"
    )
    assert named.not_converged == ("dct", "pixel")
    assert all(entry["converged"] is False for entry in summary(tmp_path / "e", ".summary.json")["files"].values())
    page = write_page([tmp_path / "e"])[0].read_text()
    assert "2 of 2 maps did not converge (dct, pixel)" in page
    assert f"Σ|a| is {max(named.cancellation.values()):,.3g} times" in page  # said by the terminal too
    easy = studies.explain(
        pictures / "1.png", model=tiny(), method="integrated_gradients(tol=0.5)", transforms=["dct"], out=tmp_path / "e"
    )
    assert easy.not_converged == ()
    assert "1 of 1 maps did not converge" not in write_page([tmp_path / "e"])[0].read_text()

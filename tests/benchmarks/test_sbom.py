"""The list of packages names each line of the lock file once."""

import pytest
from support import ROOT

from benchmarks.scripts import sbom


def test_every_pinned_package_is_listed_with_its_version() -> None:
    lock = (ROOT / "constraints.txt").read_text()
    found = sbom.bill(lock)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    lines = {line for line in lock.splitlines() if line and line[0] != "#"}
    assert {f"{one['name']}=={one['version']}" for one in found["components"]} == lines
    assert len(found["components"]) == len(lines)
    addresses = {one["name"]: one["purl"] for one in found["components"]}
    assert addresses["typing_extensions"].startswith("pkg:pypi/typing-extensions@")
    licences = {one["name"]: one["licenses"][0]["license"]["name"] for one in found["components"] if "licenses" in one}
    assert "MIT" in licences["pytest"]


def test_a_line_without_a_version_is_refused() -> None:
    with pytest.raises(ValueError, match="expected NAME==VERSION, got 'torch>=2'"):
        sbom.bill("torch>=2\n")

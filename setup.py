"""Finds the packages: the repository root is `pullback`, so that `transforms/` here is `pullback.transforms`."""

from setuptools import find_packages, setup

ROOMS = find_packages(
    exclude=["tests", "tests.*", "benchmarks", "benchmarks.*", "docs", "docs.*", "results*", "build*"]
)

setup(packages=["pullback", *(f"pullback.{room}" for room in ROOMS)])

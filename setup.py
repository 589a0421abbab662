"""Finds the packages: the repository root is `pullback`, so that `transforms/` here is `pullback.transforms`."""

from setuptools import find_packages, setup

ROOMS = find_packages(exclude=["tests", "tests.*", "benchmarks", "benchmarks.*", "docs", "docs.*", "results*", "build*"])

# setuptools leaves the file called `script_name` out of the package; builders that do not run this file as a script need it.
setup(packages=["pullback", *(f"pullback.{room}" for room in ROOMS)], script_name="setup.py")

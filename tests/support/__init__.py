"""What the tests share: subjects, controls, and where the checkout is."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

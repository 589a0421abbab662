"""What can be concluded from one number per unit: intervals, paired contrasts, corrections, near-duplicates, ranks."""

from .contrasts import Contrast, contrast, detectable_difference, family, sign_flip
from .domains import Ranking, average_ranks, near_duplicates
from .intervals import mean_interval, two_level_interval, wilson
from .multiplicity import false_discovery, holm
from .units import ENOUGH, large_enough, per_unit

__all__ = [
    "ENOUGH",
    "Contrast",
    "Ranking",
    "average_ranks",
    "contrast",
    "detectable_difference",
    "false_discovery",
    "family",
    "holm",
    "large_enough",
    "mean_interval",
    "near_duplicates",
    "per_unit",
    "sign_flip",
    "two_level_interval",
    "wilson",
]

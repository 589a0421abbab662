"""The protocol by which domains are compared: families, matched budgets, controls, admission, verdicts."""

from .compare import compare_domains
from .comparison import DomainComparison
from .conclusion import Conclusion, PairVerdict
from .settings import Protocol

__all__ = ["Conclusion", "DomainComparison", "PairVerdict", "Protocol", "compare_domains"]

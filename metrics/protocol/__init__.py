"""The protocol by which domains are compared: families, matched budgets, controls, admission, verdicts."""

from .conclusion import Conclusion, PairVerdict
from .protocol import DomainComparison, Protocol, compare_domains

__all__ = ["Conclusion", "DomainComparison", "PairVerdict", "Protocol", "compare_domains"]

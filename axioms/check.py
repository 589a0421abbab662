"""The laws as pytest parameters, for third parties."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..transforms import Transform
from .transform_laws import check_transform

if TYPE_CHECKING:
    import pytest


def parametrize(subjects: Iterable[Transform | type[Transform]], *,
                expected_failures: dict[str, str] | None = None) -> "pytest.MarkDecorator":  # fmt: skip
    """The laws of every subject as pytest parameters named `law`; calling `law()` raises AssertionError with the table.

    subjects: transforms, or classes whose `examples()` are taken.
    expected_failures: {axiom: reason} of laws that are known to fail; they must fail, or the test does.

        @pb.axioms.parametrize([MyTransform])
        def test_laws(law): law()

    Raises: ImportError with the command that installs pytest.
    """
    try:
        import pytest
    except ImportError:
        raise ImportError("parametrize needs pytest: pip install pytest.") from None
    members: list[Transform] = []
    for subject in subjects:
        members.extend([subject] if isinstance(subject, Transform) else subject.examples())
    known = expected_failures or {}
    laws = [pytest.param(_law(member, known), id=f"{member.spec} {member.shape}") for member in members]
    return pytest.mark.parametrize("law", laws)


def _law(member: Transform, expected: dict[str, str]) -> Callable[[], Any]:
    def law() -> None:
        report = check_transform(member)
        surprises = [f.axiom for f in report.faults if f.axiom not in expected]
        repaired = [axiom for axiom in expected if axiom not in {f.axiom for f in report.faults}]
        if surprises or repaired:
            raise AssertionError(
                f"{report}\nunexpected: {surprises or 'none'}; expected to fail but kept: {repaired or 'none'}"
            )

    return law

"""The time left."""

import io

from rich.console import Console

from pullback.core.progress import bar, time_left


def test_the_time_left_is_that_of_this_run() -> None:
    """Half was done before, and a quarter took what two refreshes show; nothing is promised before anything is done."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with bar("photos", console) as told:
        told(10, 20)
        assert time_left(5.0, (0.0, 10), 10, 20) is None
        told(15, 20)
    assert "15/20" in screen.getvalue()
    assert "left 0:00:00" in screen.getvalue()
    assert time_left(9.0, (1.0, 10), 15, 20) == 8.0

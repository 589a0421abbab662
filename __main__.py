"""Starts the command line: `pullback`, or `python -m pullback`."""

import os
import signal
import sys

from .core.allocator import keep_freed_memory

INTERRUPTED = 130  # the exit status that shells use


def main() -> None:
    """Runs the command line, or says in one line how to install what it needs, or that Ctrl-C has ended its start."""
    keep_freed_memory()
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # an exception in the middle of an import may end as another one
        signal.signal(signal.SIGINT, _leave)
    try:
        from .cli import main as run
    except ModuleNotFoundError as error:
        if error.name not in ("rich", "typer"):
            raise
        sys.stderr.write(f"pullback: the command line needs {error.name}: pip install 'pullback[cli]'\n")
        sys.exit(2)
    finally:
        signal.signal(signal.SIGINT, before)
    run()


def _leave(*_: object) -> None:
    os.write(2, b"pullback: interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()

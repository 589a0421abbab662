"""Starts the command line: `pullback`, or `python -m pullback`."""

import sys


def main() -> None:
    """Runs the command line, or says in one line how to install what it needs."""
    try:
        from .cli import main as run
    except ModuleNotFoundError as error:
        if error.name not in ("rich", "typer"):
            raise
        sys.stderr.write(f"pullback: the command line needs {error.name}: pip install 'pullback[cli]'\n")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()

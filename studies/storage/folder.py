"""The folder that results go to."""

import contextlib
import tempfile
from pathlib import Path


def check_writable(out: str | Path) -> None:
    """Tries to make `out` and a file in it, and takes both away again: what cannot be stored shows before the work.

    Raises: OSError that names the folder.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_writable(Path(folder) / "deep" / "results")
    ...     list(Path(folder).iterdir())
    []
    """
    out = Path(out)
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OSError(
            f"out: no files can be written into {str(out)!r} ({error.strerror or error}); choose another folder."
        ) from None
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()

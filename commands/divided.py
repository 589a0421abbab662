"""How `pullback study NAME` runs a study: as a whole, a shard, merged shards, or on workers of Ray."""

from pathlib import Path
from typing import Any

import typer

from .. import options
from ..core import terminal
from ..core.files import plain
from ..core.progress import bar
from ..core.terminal import complain, show, show_files


def measured(study: Any, settings: Any, out: Path, unit: str, run: options.StudyOptions) -> Any:
    """What the study returns. Of a shard the number of its pieces is shown, and the command ends.  unit: of its progress."""
    from .. import studies

    how: dict[str, Any] = {"shard": run.shard, "shards": run.merge or (), "engine": run.cluster()}
    with bar(unit if run.engine == "process" and not run.shard else "pieces") as progress:
        found = studies.run_study(study, settings, out, progress, complain, **how)
    if run.shard is None:
        return found
    show(f"shard {run.shard}: {found.done} pieces, {found.measured} of them measured now, in {plain(out)}")
    raise typer.Exit


def show_findings(found: Any) -> None:
    """The sentences of a study, and its files."""
    for sentence in found.summary["findings"]:
        terminal.console.print(plain(f"• {sentence}"))
    show_files(found.out, found.files)

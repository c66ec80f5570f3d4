"""Progress of long work: a bar with rate and time left on a terminal, nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Text of the column."""
        return Text(f"{task.speed:,.0f} {self.unit}/s" if task.speed else "")


@contextlib.contextmanager
def progress(
    title: str, total: int | None, unit: str, *, start: int = 0
) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many units have been done since the last call.

    Args:
        title: what is going on, in a word or two.
        total: units of the whole work, where that is known.
        unit: their name, plural.
        start: units done before.
    """
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, completed=start)
        yield lambda done: bar.advance(task, done)

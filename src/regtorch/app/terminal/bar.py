"""The live bar of a run or of a sweep."""

import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["make_bar"]


def make_bar() -> Any:
    """A rich progress bar: a row per task, then their fields `below`; the field `left` replaces the time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Left(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            left = task.fields.get("left")
            return super().render(task) if left is None else Text(left, style="progress.remaining")

    class Bar(Progress):
        def get_renderables(self) -> Iterator[Any]:
            yield self.make_tasks_table(self.tasks)
            yield from (Text("  " + task.fields["below"]) for task in self.tasks)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), Left())
    return Bar(*columns, console=Console(file=sys.stdout), transient=True)

"""`regtorch conventions`: a strength in every convention."""

from regtorch.app.ground.lines import fitting_errors
from regtorch.app.record.command import command
from regtorch.conventions import __main__ as conventions

__all__ = ["main"]


def main() -> int:
    """Print the table; a wrong command line exits with 2."""
    return conventions.main(called=command("conventions"), fit=fitting_errors)

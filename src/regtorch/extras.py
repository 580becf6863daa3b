"""What to say about a package that is not installed."""

__all__ = ["not_installed"]


def not_installed(package: str, user: str, extra: str = "app") -> str:
    """A message: the package, what needs it, and the command that installs it as part of an extra of this one."""
    return f"{package} is not installed; install what {user} needs: pip install 'regtorch[{extra}]'"

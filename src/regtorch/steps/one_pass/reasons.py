"""Why a whole step is not compiled; each is raised before anything has changed."""

__all__ = ["Changed", "NotNow", "NotWhole"]


class NotWhole(Exception):
    """The steps must be made by their parts; the message says why."""


class NotNow(Exception):
    """This step must be made by its parts, and what follows prepared again."""


class Changed(NotNow):
    """The net, the loss or the kind of batch has changed: prepare this step again."""

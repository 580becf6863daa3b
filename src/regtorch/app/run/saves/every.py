"""How often a run is saved: `save_every=500` steps, or `30s`, `10min`, `2h`."""

from dataclasses import dataclass
from time import monotonic
from typing import Any

from regtorch.app.config.interval_text import seconds_of
from regtorch.app.ground.errors import RunError

__all__ = ["Every"]


@dataclass
class Every:
    """When the next save is due: by steps or by time; neither means never."""

    steps: int | None = None
    seconds: float | None = None
    _step: int = 0  # of the last save
    _time: float = 0.0

    @classmethod
    def parsed(cls, value: Any) -> "Every":
        """Read `save_every`.

        Raises:
            RunError: it is neither a number of steps, nor a time, nor null.
        """
        if type(value) is int and value > 0:
            return cls(steps=value)
        seconds = seconds_of(value)
        if value is not None and seconds is None:
            raise RunError(
                "save_every: expected a number of steps, such as 500, a time, such as 30s, 10min or 2h, or null, "
                f"received {value!r}"
            )
        return cls(seconds=seconds)

    def begin(self, step: int) -> None:
        """Count from now on."""
        self._step, self._time = step, monotonic()

    def is_due(self, step: int) -> bool:
        """Whether a save is due after `step` optimizer steps."""
        if self.steps is not None:
            return step - self._step >= self.steps
        return self.seconds is not None and monotonic() - self._time >= self.seconds

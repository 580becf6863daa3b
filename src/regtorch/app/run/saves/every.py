"""How often a run is saved: `save_every=500` steps, or `30s`, `10min`, `2h`."""

from dataclasses import dataclass
from time import monotonic

from regtorch.app.config.interval_text import seconds_of

__all__ = ["Every"]


@dataclass
class Every:
    """When the next save is due: by steps or by time; neither means never."""

    steps: int | None = None
    seconds: float | None = None
    _step: int = 0  # of the last save
    _time: float = 0.0

    @classmethod
    def of(cls, save_every: int | str | None) -> "Every":
        """The setting `save_every`, which has been checked: a number of steps, a time or null."""
        return cls(steps=save_every) if isinstance(save_every, int) else cls(seconds=seconds_of(save_every))

    @property
    def by_time(self) -> bool:
        """Whether a clock decides, so that processes may disagree."""
        return self.seconds is not None

    def begin(self, step: int) -> None:
        """Count from now on."""
        self._step, self._time = step, monotonic()

    def is_due(self, step: int) -> bool:
        """Whether a save is due after `step` optimizer steps."""
        if self.steps is not None:
            return step - self._step >= self.steps
        return self.seconds is not None and monotonic() - self._time >= self.seconds

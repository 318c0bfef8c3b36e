"""What a training run gives back beside the trained model."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass over the training split: mean loss in nats, validation accuracy in percent, time it took.

    ``seconds`` are those of the clock on the wall, ``cpu_seconds`` those that all threads of the (leading) process
    spent on a processor, which other programs on the machine change little. ``processor`` is the model of the CPU that
    finished the epoch: a run may go on elsewhere. Empty where a checkpoint of before does not say.
    """

    loss: float
    accuracy: float
    seconds: float
    cpu_seconds: float = 0.0
    processor: str = ""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """A finished run. The model holds the weights of ``best_epoch``, chosen on the validation split.

    Parameters
    ----------
    history
        One entry an epoch.
    best_epoch
        From 1; of equally accurate epochs the last.
    seconds, cpu_seconds
        Of all epochs, those before an interruption included.
    """

    history: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """The number of epochs trained."""
        return len(self.history)

    @property
    def accuracy(self) -> float:
        """Validation accuracy of the weights kept, in percent."""
        return self.history[self.best_epoch - 1].accuracy

"""What a training run gives back beside the trained model."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass over the training split: mean loss in nats, validation accuracy in percent, time it took.

    There is no accuracy where no images are held out.
    ``seconds`` are those of the clock on the wall, ``cpu_seconds`` those that all threads of the (leading) process
    spent on a processor, which other programs on the machine change little. ``processor`` is the model of the CPU that
    finished the epoch: a run may go on elsewhere. Empty where a checkpoint of before does not say.
    """

    loss: float
    accuracy: float | None
    seconds: float
    cpu_seconds: float = 0.0
    processor: str = ""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """A finished run. The model holds the weights of ``best_epoch``, chosen on the validation split, else the last.

    >>> print(TrainResult((Epoch(0.7, 61.5, 20.0), Epoch(0.5, 72.0, 20.0)), 2, 40.0))
    72.00 % of the validation images after 2 epochs, 40 s

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
    def accuracy(self) -> float | None:
        """Validation accuracy of the weights kept, in percent; None where no images are held out."""
        return self.history[self.best_epoch - 1].accuracy

    def __str__(self) -> str:
        known = "" if self.accuracy is None else f"{self.accuracy:.2f} % of the validation images after "
        return f"{known}{self.epochs} epochs, {self.seconds:.0f} s"

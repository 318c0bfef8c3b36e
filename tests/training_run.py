"""A small training run in a process of its own, for tests that kill it: checkpoint, weights, then options."""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import torch
from digits import digits
from torch import nn

from horner.approximation import approximate_
from horner.errors import TrainingError
from horner.models import build
from horner.training import TrainConfig, train
from horner.training.checkpoint import save_checkpoint


class Dropping(nn.Module):
    """A LeNet with all that has state: coefficients, batch norm, dropout, and a layer that a hook replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.net = approximate_(build("lenet5", batch_norm=True, seed=0), "fc2: in=linear/3; fc1: out=linear/3")
        self.drop = nn.Dropout(0.1)
        self.left = 0  # calls until it is killed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.net(self.drop(x))


def widen(model: nn.Module, epoch: int, epochs: int) -> bool:
    if epoch == 1:
        model.net.fc3 = nn.Linear(84, 10)
    return epoch == 1


CONFIG = TrainConfig(
    epochs=3, batch_size=16, augmentation="shift", device="cpu", threads=1, checkpoint_seconds=0.0, schedule="cosine"
)


def run(checkpoint: Path | None, kill_after: int = 0) -> dict:
    """Train; killed for real at the given call of the model, if any."""
    config = dataclasses.replace(CONFIG, epochs=int(os.environ.get("EPOCHS", CONFIG.epochs)))
    model = Dropping()
    model.left = kill_after
    result = train(model, digits(300, 100), config, checkpoint=checkpoint, epoch_hook=widen)
    return {"model": model.state_dict(), "history": [(epoch.loss, epoch.accuracy) for epoch in result.history]}


def main() -> None:
    checkpoint, output = Path(sys.argv[1]), Path(sys.argv[2])
    rank, kill_after = os.environ.get("RANK", "0"), int(os.environ.get("KILL_AFTER", "0"))
    try:
        if kill_after:  # an unbroken run first, so that one process tells both
            save_checkpoint(output.with_name(f"unbroken.{rank}"), run(None))
        save_checkpoint(output.with_name(f"{output.name}.{rank}"), run(checkpoint, kill_after))
    except TrainingError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()

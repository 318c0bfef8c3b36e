"""A small training run in a process of its own, for tests that kill it: checkpoint, weights, then options."""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import torch
from digits import digits
from torch import nn

from horner.errors import TrainingError
from horner.models import build
from horner.training import TrainConfig, train
from horner.training.checkpoint import save_checkpoint


class Dropping(nn.Module):
    """A LeNet with everything that has state: batch norm, dropout, and a layer that a hook replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build("lenet5", batch_norm=True, seed=0)
        self.drop = nn.Dropout(0.1)
        self.left = int(os.environ.get("KILL_AFTER", "0"))

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


def main() -> None:
    checkpoint, output = Path(sys.argv[1]), Path(sys.argv[2])
    rank = os.environ.get("RANK", "0")
    config = dataclasses.replace(CONFIG, epochs=int(os.environ.get("EPOCHS", CONFIG.epochs)))
    model = Dropping()
    try:
        result = train(model, digits(), config, checkpoint=checkpoint, epoch_hook=widen)
    except TrainingError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    history = [(epoch.loss, epoch.accuracy) for epoch in result.history]
    save_checkpoint(output.with_suffix(f".{rank}"), {"model": model.state_dict(), "history": history})


if __name__ == "__main__":
    main()

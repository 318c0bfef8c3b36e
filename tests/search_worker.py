"""A worker of a search in a process of its own, for tests of several: folder, storage, dense network, trials.

It kills itself for real where KILL says so: in the middle of its Nth trial (``trial N``) or of its first finalist.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from digits import digits

from horner import models
from horner.errors import HornerError
from horner.search import finalists, proxies, search

SPEC = "tiny:network"


def fatal(function, number):
    """Return the function, which kills its process when it is called for the Nth time."""
    calls = []

    def called(*arguments, **options):
        calls.append(None)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return called


def main() -> None:
    folder, storage, dense, trials = sys.argv[1:]
    torch.set_num_threads(1)
    where, _, number = os.environ.get("KILL", "").partition(" ")
    if where == "trial":
        proxies.fit_ = fatal(proxies.fit_, int(number))
    elif where == "finalist":
        finalists.measure = fatal(finalists.measure, 1)
    try:
        found = search(
            SPEC,
            digits(train=400, validation=100, test=100),
            Path(folder),
            max_drop=20,
            trials=int(trials),
            storage=None if storage == "-" else storage,
            trained=models.load(dense, spec=SPEC),
            epochs=int(os.environ.get("EPOCHS", "0")),
            finalists=4,
            changes={"device": "cpu", "batch_size": 64},
            say=lambda line: print(line, flush=True),
        )
    except HornerError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print("front", [row["trial"] for row in found.front], found.trials, flush=True)


if __name__ == "__main__":
    main()

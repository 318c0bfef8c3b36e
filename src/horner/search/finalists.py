"""The second half of a search: the front is trained on in full, each plan by one worker, and becomes a file.

Files travel by the study, so that every worker ends with all of them, whatever machine made them.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horner._files import read_bytes, write_atomic
from horner.errors import FileError, HornerError, InterruptedTrainingError
from horner.program.file import load, save
from horner.search.explore import POLL
from horner.search.front import front
from horner.search.proxies import OBJECTIVES, Objective, Proxies, retrain
from horner.search.shared import BEAT, DEATHS, MOST_DEATHS, Shared
from horner.search.space import Candidate
from horner.workflow import measure, run_of, totals

CHUNK = 30_000
"""Characters of a file in one attribute: databases have limits."""
TRIAL, ROW, FILE = "trial", "row", "file"


@dataclass(frozen=True)
class Finals:
    """Full retraining of the best trials.

    Parameters
    ----------
    shared
        A study of their own.
    epochs
        Of retraining, all stages together.
    folder
        Where files are written.
    """

    shared: Shared
    proxies: Proxies
    epochs: int
    folder: Path

    def run(self, finalists: Sequence[tuple[int, Candidate]], say: Any) -> None:
        """Train all of them that nobody has trained or is training, and wait for the others'."""
        shared = self.shared
        candidates = dict(finalists)
        while True:
            shared.bury(lambda trial, deaths: None)  # whoever sees it missing takes it
            done = {trial.user_attrs[TRIAL] for trial in shared.finished()}
            waiting = [number for number in candidates if number not in done]
            if not waiting:
                return
            taken = {trial.user_attrs[TRIAL] for trial in shared.trials(shared.states.RUNNING)}
            free = [number for number in waiting if number not in taken]
            fatal = [number for number in free if self._deaths(number) >= MOST_DEATHS]
            if fatal:
                shared.finish(shared.take(**{TRIAL: fatal[0]}), None, f"{MOST_DEATHS} processes died of it")
            elif free:
                self._one(free[0], candidates[free[0]], say)
            else:
                time.sleep(POLL)

    def rows(self) -> list[dict[str, Any]]:
        """Write the file of every finalist, and its numbers beside it; return the numbers."""
        rows = []
        for trial in sorted(self.shared.trials(self.shared.states.COMPLETE), key=lambda t: t.user_attrs[TRIAL]):
            notes = trial.user_attrs
            path = self._path(notes[TRIAL])
            parts = [notes[f"{FILE}.{number}"] for number in range(notes[FILE])]
            content = base64.b64decode("".join(parts))
            if not path.exists() or read_bytes(path) != content:
                write_atomic(path, content)
            row = {**notes[ROW], "file": str(path)}
            write_atomic(path.with_suffix(".json"), json.dumps(row, indent=1) + "\n")
            rows.append(row)
        return rows

    def _one(self, number: int, candidate: Candidate, say: Any) -> None:
        """Train one finalist, unless another worker takes it at the same moment."""
        shared = self.shared
        mine = shared.take(**{TRIAL: number})
        alive = shared.trials(shared.states.RUNNING, shared.states.COMPLETE)
        if any(trial.number < mine and trial.user_attrs[TRIAL] == number for trial in alive):
            shared.drop(mine, again=False)
            return
        say(f"finalist {number}: {candidate.plan}")
        try:
            with shared.worker.beating(lambda beat: shared.note(mine, **{BEAT: beat})):
                row = self._train(number, candidate)
        except (InterruptedTrainingError, FileError):
            shared.drop(mine, again=False)
            raise
        except HornerError as error:
            shared.finish(mine, None, " ".join(str(error).split()))
            say(f"finalist {number}: given up, {error}")
            return
        except BaseException:
            shared.drop(mine, again=False)
            raise
        text = base64.b64encode(read_bytes(self._path(number))).decode()
        parts = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]
        pieces: dict[str, Any] = {f"{FILE}.{at}": part for at, part in enumerate(parts)}
        price = cost_of(row, self.proxies.objective)
        shared.finish(mine, (row["validation_drop"], price), "", **{ROW: row, FILE: len(parts), **pieces})
        say(
            f"finalist {number}: {price:,.0f} {self.proxies.objective}, {row['validation_accuracy']:.2f} % of the "
            f"validation images, drop {row['validation_drop']:.2f}"
        )

    def _train(self, number: int, candidate: Candidate) -> dict[str, Any]:
        """Make the file of one finalist; return its numbers."""
        proxies, path = self.proxies, self._path(number)
        checkpoints = path.with_suffix(".checkpoints")
        made = retrain(proxies.dense, proxies.data, candidate, proxies.config, self.epochs, checkpoints)
        save(made.program, path)
        program, data = load(path), proxies.data
        dense = {"dense": run_of(proxies.dense, data)}
        judged, tested = (measure(program, data, [split], dense) for split in ("validation", "test"))
        right, final = judged["reference"]["validation"], tested["reference"]["test"]
        shutil.rmtree(checkpoints, ignore_errors=True)
        return {
            "trial": number,
            "file": str(path),
            "data": data.name,
            "source": data.source,
            **candidate.to_dict(),
            "epochs": made.epochs,
            "validation_accuracy": right,
            "validation_drop": proxies.dense_accuracy - right,
            "n": len(data.test),
            "dense_accuracy": tested["dense"]["test"],
            "accuracy": final,
            "drop": tested["dense"]["test"] - final,
            **totals(program, path),
        }

    def _deaths(self, number: int) -> int:
        """How many processes have died of a finalist."""
        failed = self.shared.trials(self.shared.states.FAIL)
        return sum(trial.user_attrs[TRIAL] == number and DEATHS in trial.user_attrs for trial in failed)

    def _path(self, number: int) -> Path:
        return self.folder / f"plan-{number:03d}.horner"


def cost_of(row: dict[str, Any], objective: Objective) -> float:
    """Return what a finalist costs.

    >>> cost_of({"file_bytes": 9, "multiplications": 2, "additions": 3, "coefficients": 4}, "operations")
    5.0
    """
    assert objective in OBJECTIVES
    if objective == "operations":
        return float(row["multiplications"] + row["additions"])
    return float(row["file_bytes" if objective == "bytes" else "coefficients"])


def best(rows: Sequence[dict[str, Any]], objective: Objective) -> list[dict[str, Any]]:
    """Return the finalists that no other beats in validation accuracy and cost, the cheapest first."""
    return front(rows, key=lambda row: (row["validation_drop"], cost_of(row, objective)))

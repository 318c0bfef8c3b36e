"""What the verb `search` does: from a network and a budget to the files on the front."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from horner import models
from horner._files import expect_writable, write_atomic
from horner.data import DataSet
from horner.errors import HornerError, InterruptedTrainingError, SearchError
from horner.pipeline import Say
from horner.search import seeds, space
from horner.search.display import Display
from horner.search.explore import Exploration
from horner.search.finalists import Finals, best, cost_of
from horner.search.front import Point, picture, results_table
from horner.search.proxies import OBJECTIVES, Objective, Proxies
from horner.search.sampler import make_sampler
from horner.search.shared import Shared
from horner.search.storage import open_storage, shown
from horner.search.worker import Worker
from horner.training import recipe
from horner.training.checkpoint import model_digest
from horner.training.fingerprint import data_digest
from horner.workflow import Trained, fitting, normalised, train_dense

if TYPE_CHECKING:
    from rich.table import Table

PROXY_EPOCHS, PROXY_IMAGES, FINALISTS, TRIALS = 3, 10_000, 8, 50


@dataclass(frozen=True)
class Search:
    """What a search found.

    Parameters
    ----------
    rows
        Every finalist: its plan, settings, numbers and file.
    front
        Those that no other beats in validation accuracy and cost, the cheapest first.
    chosen
        The cheapest within the budget, by validation accuracy; None where none is.
    trials
        How many were measured, given up as hopeless, and left unfinished by workers that ended.
    dense
        Accuracy of the dense network on the validation and on the test split, in percent.
    """

    model: str
    data: str
    source: str
    objective: Objective
    max_drop: float
    trials: dict[str, int]
    dense: tuple[float, float]
    rows: tuple[dict[str, Any], ...]
    front: tuple[dict[str, Any], ...]
    chosen: dict[str, Any] | None
    files: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as built-in types."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def table(self) -> Table:
        """Return the front as a table for the terminal."""
        return results_table(self.front, self.max_drop, self.dense)


def search(
    spec: str,
    data: DataSet,
    output: Path,
    *,
    max_drop: float,
    objective: Objective = "bytes",
    trials: int = TRIALS,
    storage: str | None = None,
    study: str = "horner",
    trained: Trained | None = None,
    batch_norm: bool | None = None,
    epochs: int | None = None,
    proxy_epochs: int = PROXY_EPOCHS,
    proxy_images: int = PROXY_IMAGES,
    finalists: int = FINALISTS,
    changes: Mapping[str, Any] | None = None,
    say: Say | None = None,
) -> Search:
    """Find plans for a network: small and accurate ones, as files.

    The same call with the same storage goes on with a search, or joins one that is going on.

    Parameters
    ----------
    output
        The folder of files.
    max_drop
        The budget: points of validation accuracy that may be lost.
    trials
        Of the whole study, those given up as hopeless included.
    storage
        A database's URL or the path of a ``.journal`` file; by default ``study.db`` in the folder.
    study
        Its name in the storage.
    trained
        The dense network. Without it one is trained first, and kept in the folder.
    epochs
        Of the finalists' retraining, all stages together; 0 for the activation-aware fit alone.
    proxy_epochs, proxy_images
        Of the short retraining that judges a trial.
    finalists
        How many of the front are trained in full, at most.
    changes
        Settings of `TrainConfig` that differ from the recipe for such images.
    say
        Called with a line now and then instead of a display on standard error.

    Raises
    ------
    SearchError
        When the storage cannot be used, or holds another search.
    MissingToolError
        When Optuna is not installed.
    """
    if objective not in OBJECTIVES:
        raise SearchError(f"no objective {objective!r}; there are {', '.join(OBJECTIVES)}")
    for name, number in (("trials", trials), ("finalists", finalists), ("proxy images", proxy_images)):
        if number < 1:
            raise SearchError(f"{name}: at least 1, not {number}")
    if not 0 <= max_drop < 100:
        raise SearchError(f"max_drop is in points of accuracy, from 0 to below 100, not {max_drop}")
    expect_writable(output / "front.json")
    place = storage or f"sqlite:///{output / 'study.db'}"
    with Worker(output) as worker, Display(objective, max_drop, say) as display:
        tell = display.say
        with worker.alone("opening"):
            kept = open_storage(place)
        dense, data = _dense(spec, data, output, worker, trained, batch_norm, changes or {}, tell)
        config = dataclasses.replace(recipe(data.shape, batch_norm=normalised(dense)), **(changes or {}))
        epochs = config.epochs if epochs is None else epochs
        short = min(proxy_epochs, epochs)
        if 1 in (short, epochs):
            raise SearchError("retraining takes at least 2 epochs, one of each stage, or 0 for the fit alone")
        proxies = Proxies(dense, data, config, objective, short, proxy_images)
        known = seeds.known(spec, dense)
        forms = [candidate.plan for candidate in known]
        plans = space.build(dense, proxies.calibration[:2], forms, retrained=epochs > 0)
        starts = [plans.params(candidate) for candidate in [*known, *seeds.general()]]
        identity = {
            "network": f"{spec} {model_digest(dense)[:16]}",
            "data": f"{data.name} {data_digest(data)[:16]}",
            "plan space": plans.digest,
            "objective": objective,
            "max drop": max_drop,
            "epochs": epochs,
            "short retraining": [short, proxy_images],
            "training": {key: str(value) for key, value in config.decides().items()},
        }
        with worker.alone("opening"):
            shared = Shared(kept, place, study, worker, make_sampler(config.seed, starts))
            shared.claim(identity)
            final = Shared(kept, place, f"{study} finalists", worker)
            final.claim(identity)
        exploration = Exploration(shared, plans, proxies, max_drop, trials, display)
        with _resumable(shared, place, trials):
            exploration.run()
            chosen = exploration.finalists(finalists)
            ends = Finals(final, proxies, epochs, output)
            ends.run([(number, exploration.candidate(number)) for number in chosen], tell)
        return _report(spec, exploration, ends, output, tell)


def _dense(
    spec: str,
    data: DataSet,
    output: Path,
    worker: Worker,
    trained: Trained | None,
    batch_norm: bool | None,
    changes: Mapping[str, Any],
    say: Say,
) -> tuple[nn.Module, DataSet]:
    """Return the dense network, trained by one worker of a folder for all of them, and the data as it reads them."""
    if trained is None:
        file = output / "dense.safetensors"
        with worker.alone("dense", lambda: say("waiting for the dense network, which another worker trains")):
            if not file.exists():
                train_dense(spec, data, file, batch_norm=batch_norm, changes=changes, say=say)
        trained = models.load(file, spec=spec)
    return fitting(spec, trained, data, batch_norm)


@contextlib.contextmanager
def _resumable(shared: Shared, place: str, trials: int) -> Iterator[None]:
    """Say, where a search is interrupted or its storage is lost, how to go on."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (InterruptedTrainingError, KeyboardInterrupt) as error:
        raise InterruptedTrainingError(
            f"interrupted after {len(shared.finished())} of {trials} trials; run the same command again to go on"
        ) from error
    except (shared.library.exceptions.OptunaError, SQLAlchemyError) as error:
        lost = str(error).splitlines()[0]
        raise SearchError(f"--storage {shown(place)} was lost: {lost}; run the same command again to go on") from error


def _report(spec: str, exploration: Exploration, finals: Finals, output: Path, say: Say) -> Search:
    """Write the files, the picture and the numbers of a search that is done."""
    rows = finals.rows()
    proxies, shared, objective = exploration.proxies, exploration.shared, exploration.proxies.objective
    if not rows:
        raise SearchError("no plan came through: all trials or all finalists were given up; see the study for why")
    counted = {
        name: len(shared.trials(state))
        for name, state in (
            ("measured", shared.states.COMPLETE),
            ("given_up", shared.states.PRUNED),
            ("unfinished", shared.states.FAIL),
        )
    }
    points = [Point(row["trial"], row["validation_drop"], cost_of(row, objective)) for row in rows]
    files = {"numbers": str(output / "front.json")}
    try:
        path = picture(exploration.points(), points, objective, exploration.max_drop, output / "front.svg")
        files["picture"] = str(path)
    except HornerError as error:
        say(f"no picture: {error}")
    ahead = best(rows, objective)
    within = [row for row in ahead if row["validation_drop"] <= exploration.max_drop]
    found = Search(
        model=spec,
        data=proxies.data.name,
        source=proxies.data.source,
        objective=objective,
        max_drop=exploration.max_drop,
        trials=counted,
        dense=(proxies.dense_accuracy, rows[0]["dense_accuracy"]),
        rows=tuple(rows),
        front=tuple(ahead),
        chosen=within[0] if within else None,
        files=files,
    )
    write_atomic(output / "front.json", json.dumps(found.to_dict(), indent=1) + "\n")
    return found

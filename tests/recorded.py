"""Records of runs that never were."""

from __future__ import annotations

import msgspec

from horner import presets, record
from horner.plan import Plan
from horner.record import Accuracy, Record
from horner.training import TrainConfig
from horner.training.spent import Machine, Spent

MACHINE = Machine(processor="CPU", cores=2, threads=1, device="cpu", torch="2")


def spent(config: TrainConfig) -> Spent:
    return Spent(
        epochs=config.epochs, best_epoch=1, seconds=8.0, cpu_seconds=8.0, machine=MACHINE, settings=config.decides()
    )


def run(
    preset: str,
    seed: int,
    *,
    accuracy: float = 98.5,
    validation: float = 98.0,
    finetuning: presets.Finetune | None = None,
    **numbers: float,
) -> Record:
    """A run that follows a preset, or other fine-tuning after it, of which only the numbers are invented."""
    recipe = presets.get(preset)
    if finetuning:
        recipe = msgspec.structs.replace(recipe, finetuning=finetuning)
    config = recipe.training(seed=seed)
    again = recipe.retrained(config)
    dense, stages = spent(config), {"real": spent(again.real), "quantised": spent(again.quantised)}
    if tuning := recipe.finetuning:
        if refining := tuning.refining(config):
            stages["refined"] = spent(refining)
        stages["finetuned"] = spent(tuning.training(config))
    counts = {"multiplications": 10, "dense_multiplications": 100}
    ratios = {"coefficient_ratio": 50.0, "value_ratio": 30.0, "byte_ratio": 310.0, "file_bytes": 796}
    return Record(
        command=f"horner approximate --preset {preset} --seed {seed}",
        dense_command=f"horner train --preset {preset} --seed {seed}",
        preset=preset,
        recipe=msgspec.structs.replace(recipe, plan=str(Plan.parse(recipe.plan)), title="", row=None),
        seed=seed,
        complete=True,
        images={"train": 55_000, "validation": 5_000, "test": 10_000},
        dense=dense,
        retraining=stages,
        cost=record.cost(dense, stages),
        accuracy={
            "dense": Accuracy(validation=99.0, test=99.2),
            "reference": Accuracy(validation=validation, test=accuracy),
        },
        drop=round(99.2 - accuracy, 4),
        account={**counts, **ratios, **numbers},
        sha256=f"{seed:064}",
    )

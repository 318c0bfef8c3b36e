"""An account for the terminal: two tables of layers that fit 80 columns, and the ratios in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table

if TYPE_CHECKING:
    from horner.program.account import Account


def render(account: Account) -> Group:
    """Return how each layer is stored, what it costs, the totals, and every ratio with what it divides by what."""
    return Group(_forms(account), _costs(account), _caption(account))


def _forms(account: Account) -> Table:
    table = _table("Weights stored, and sums reused")
    for heading in ("layer", "weights", "plan", "reused"):
        table.add_column(heading, no_wrap=heading in ("layer", "weights"), overflow="fold")
    for layer in account.layers:
        if layer.shape:
            table.add_row(layer.name, "x".join(map(str, layer.shape)), layer.plan or "dense", layer.schedule)
    return table


def _costs(account: Account) -> Table:
    table = _table("Stored, and done per inference")
    table.add_column("layer", no_wrap=True)
    for heading in ("coefficients", "bits", "bytes", "multiplications", "additions", "dense MAC"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in account.layers:
        table.add_row(
            layer.name,
            f"{layer.coefficients:,}" if layer.shape else "",
            f"{layer.bits}" if layer.bits else "",
            f"{layer.bytes:,.1f}",
            f"{layer.multiplications:,}",
            f"{layer.additions:,}",
            f"{layer.dense_macs:,}",
        )
    table.add_section()
    operations = (account.multiplications, account.additions, account.dense_macs)
    numbers = [f"{account.coefficients:,}", "", f"{account.file_bytes:,}", *(f"{n:,}" for n in operations)]
    table.add_row("total", *numbers, style="bold")
    return table


def _caption(account: Account) -> str:
    rows = account.kernel_row
    lines = [
        f"coefficient ratio {account.coefficient_ratio:.2f} = {account.dense_weights:,} dense weights / "
        f"{account.coefficients:,} stored coefficients",
        f"value ratio {account.value_ratio:.2f} = {account.dense_parameters:,} dense parameters / "
        f"{account.stored_values:,} stored values",
        f"byte ratio {account.byte_ratio:.2f} = {account.dense_bytes:,} bytes of dense float32 / "
        f"{account.file_bytes:,} bytes of file",
        f"multiplications {account.multiplications:,}, dense {account.dense_multiplications:,}",
        f"additions {account.additions:,}, dense {account.dense_additions:,}",
        f"requantisations {account.requantisations:,}",
    ]
    wide = [layer.name for layer in account.layers if layer.accumulator_bits == 64]
    if any(layer.accumulator_bits for layer in account.layers):
        lines.append(f"accumulators int64 in {', '.join(wide)}" if wide else "accumulators int32 in every layer")
    if rows.row_stationary.total:
        lines.append(
            f"one kernel row of all filters {rows.reuse.total:,} units, Row Stationary "
            f"{rows.row_stationary.total:,}: {100 * rows.saved:.1f} % saved"
        )
    return "\n".join(lines)


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))

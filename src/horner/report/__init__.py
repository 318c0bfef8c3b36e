"""Pictures of what an approximation did and of what arrays cost. Needs matplotlib: ``pip install 'horner[report]'``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from horner.report.comparison import draw

__all__ = ["draw"]


def __getattr__(name: str) -> Any:
    if name == "draw":  # the one that needs PyTorch, imported when it is first asked for
        from horner.report.comparison import draw

        return draw
    raise AttributeError(f"module 'horner.report' has no attribute {name!r}")

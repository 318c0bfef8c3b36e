"""Pictures of what an approximation did. Needs matplotlib: ``pip install 'horner[report]'``."""

from horner.report.comparison import draw

__all__ = ["draw"]

"""Pictures of what an approximation did. Needs matplotlib: ``pip install 'horner[report]'``."""

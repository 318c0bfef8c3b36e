"""The smallest plan within an accuracy budget: a search that many processes share, and what each layer can bear.

The search needs Optuna: ``pip install 'horner[search]'``.
"""

from horner.search.run import Search, search
from horner.search.sensitivity import Sensitivity, sensitivity

__all__ = ["Search", "Sensitivity", "search", "sensitivity"]

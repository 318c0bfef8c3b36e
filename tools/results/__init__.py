"""The page of results and the zoo, from recorded runs: ``python -m tools.results``."""

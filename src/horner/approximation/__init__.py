"""Weights as polynomials of their position or rank: parametrizations, fits, and models approximated in place."""

from horner.approximation.api import approximate_, coefficients, fold_, layer_plans
from horner.approximation.fit import LayerFit, fit_
from horner.approximation.layers import approximated, originals
from horner.approximation.maps import feature_maps
from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight

__all__ = [
    "LayerFit",
    "PositionalWeight",
    "RankedWeight",
    "approximate_",
    "approximated",
    "coefficients",
    "feature_maps",
    "fit_",
    "fold_",
    "layer_plans",
    "originals",
]

"""Approximating a model in place, reading what was learned, and folding it back into plain weights."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from horner.approximation.fit import fit_
from horner.approximation.layers import Form, approximated, originals
from horner.approximation.maps import feature_maps
from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight
from horner.errors import ModelError
from horner.plan import LayerPlan, Plan, weighted


def approximate_(
    model: nn.Module,
    plan: Plan | str,
    filter_fn: Callable[[nn.Module, str], bool] | None = None,
    example: Tensor | None = None,
    calibration: Tensor | Iterable[Any] | None = None,
) -> nn.Module:
    """Approximate the weights of a model in place, each by the least-squares fit to what it is.

    Afterwards ``module.weight`` is computed from coefficients, which are what an optimiser trains: make the
    optimiser after this. ``state_dict`` holds the coefficients and loads into a model approximated by the same plan.

    Parameters
    ----------
    model
        Any module; its Conv2d and Linear layers are what the plan speaks of.
    plan
        A `Plan`, its text, or the path of its TOML file.
    filter_fn
        Called with a module and its name; layers for which it is false are left alone.
    example
        Images as the model takes them, for finding the feature map before a Linear whose rule speaks of rows or
        columns and gives no map.
    calibration
        Images for `horner.approximation.fit.fit_`, which then fits the layers' outputs rather than their weights.

    Raises
    ------
    PlanError, ModelError
        When the plan does not fit, or a layer cannot be approximated. The model is then as it was.

    Examples
    --------
    >>> model = approximate_(nn.Conv2d(3, 16, 5), "out=linear/4 row=linear col=linear")
    >>> model.weight.shape, model.parametrizations.weight.original.shape
    (torch.Size([16, 3, 5, 5]), torch.Size([8, 3, 2, 2]))
    """
    plan = Plan.parse(plan)
    layers = weighted(model)
    maps = None
    if example is not None and any(rule.row or rule.col for _, rule in plan.rules):
        maps = feature_maps(model, example)
    plans = plan.match(model, filter_fn, maps)
    forms = {name: _form(name, layers[name], rule) for name, rule in plans.items() if not rule.dense}
    _check_shared(model, set(forms))
    reference = copy.deepcopy(model) if calibration is not None else None
    with _all_or_nothing(layers.values()):
        for name, form in forms.items():
            parametrize.register_parametrization(layers[name], "weight", form)
            _copy_with_own_class(layers[name])
        for name, rule in plans.items():
            layers[name].__dict__["_layer_plan"] = rule
        if reference is not None and calibration is not None and forms:
            fit_(model, calibration, reference)
    return model


def fold_(model: nn.Module) -> nn.Module:
    """Turn every approximated weight into a plain parameter of the same values, in place.

    >>> folded = fold_(approximate_(nn.Linear(8, 4), "in=linear"))
    >>> [name for name, _ in folded.named_parameters()]
    ['weight', 'bias']
    """
    for module, form in approximated(model).values():
        trained = any(original.requires_grad for original in originals(module))
        weight = module.weight.detach().clone()
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=isinstance(form, RankedWeight))
        _put_weight(module, nn.Parameter(weight, trained))
    for module in weighted(model).values():
        module.__dict__.pop("_layer_plan", None)
    return model


def coefficients(model: nn.Module) -> dict[str, Tensor]:
    """Return the coefficients of every approximated layer as a program stores them, float64, by name.

    >>> layer = nn.Linear(4, 1)
    >>> layer.weight.data = torch.tensor([[1.0, 3.0, 6.0, 8.0]])
    >>> coefficients(nn.Sequential(approximate_(layer, "in=constant/2")))["0"].flatten().round(decimals=4).tolist()
    [2.0, 7.0]
    """
    return {
        name: form.coefficients(*(original.detach() for original in originals(module)))
        for name, (module, form) in approximated(model).items()
    }


def layer_plans(model: nn.Module, plan: Plan | str | None = None) -> dict[str, LayerPlan]:
    """Return the plan of every layer: of the plan given, or else those the model was approximated by."""
    stored = {name: module.__dict__.get("_layer_plan", LayerPlan()) for name, module in weighted(model).items()}
    if plan is None:
        return stored
    return Plan.parse(plan).match(model, maps={name: rule.map for name, rule in stored.items() if rule.map})


def _form(name: str, module: nn.Module, rule: LayerPlan) -> Form:
    where = f"layer {name or 'of the model'} ({type(module).__name__})"
    if parametrize.is_parametrized(module, "weight"):
        chain = module.parametrizations["weight"]  # type: ignore[index]
        if any(isinstance(form, PositionalWeight | RankedWeight) for form in chain):
            raise ModelError(f"{where} is approximated already; fold_ the model first, or filter the layer out")
        raise ModelError(f"{where} has another parametrization, {type(chain[0]).__name__}; remove it first")
    weight = module._parameters.get("weight")
    if weight is None:
        raise ModelError(
            f"{where} has no parameter named weight (torch.nn.utils.weight_norm?); remove what computes it"
        )
    if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
        raise ModelError(
            f"{where} pads with {module.padding_mode!r}; sums can be reused over zeros only: "
            f"use padding_mode='zeros', or leave it dense with a rule `{name}: dense`"
        )
    if not weight.is_floating_point():
        raise ModelError(f"{where} has weights of type {weight.dtype}; approximate the floating-point model")
    if not bool(weight.isfinite().all()):
        raise ModelError(f"{where} has weights that are not finite")
    shape = tuple(weight.shape)
    form = PositionalWeight(rule.axes(shape), shape) if rule.ranked is None else RankedWeight(rule.ranked, shape)
    return form.to(weight.device, weight.dtype)


def _check_shared(model: nn.Module, names: set[str]) -> None:
    """Two modules with one weight would part ways."""
    owners: dict[int, str] = {}
    for path, module in model.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is None:
                continue
            first = owners.setdefault(id(parameter), path)
            if first != path and names & {first, path}:
                raise ModelError(f"{first} and {path} share one {key}; give each its own, or leave both dense")


def _copy_with_own_class(module: nn.Module) -> None:
    """Give deep copies of a parametrized module a class of their own.

    torch keeps the computed attribute on a class made for the module; a deep copy would share that class, and
    removing the copy's parametrization would break the original.
    """
    made = type(module)
    if "__deepcopy__" not in vars(made):
        return  # the module's author copies it in a way of his own

    def deepcopy(self: nn.Module, memo: dict[int, Any]) -> nn.Module:
        mine = type(self)
        attributes = {key: value for key, value in vars(mine).items() if key not in ("__dict__", "__weakref__")}
        own: Any = type(mine.__name__, mine.__bases__, attributes)
        twin = own.__new__(own)
        memo[id(self)] = twin
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    made.__deepcopy__ = deepcopy  # type: ignore[attr-defined]


@contextlib.contextmanager
def _all_or_nothing(layers: Iterable[nn.Conv2d | nn.Linear]) -> Iterator[None]:
    """Put weights, biases and plans back as they were if anything fails."""
    before = []
    for module in layers:
        parameter = module._parameters.get("weight")
        bias = None if module.bias is None else module.bias.detach().clone()
        values = None if parameter is None else parameter.detach()  # registering gives the parameter other storage
        before.append((module, parameter, values, bias, module.__dict__.get("_layer_plan")))
    try:
        yield
    except BaseException:
        for module, parameter, values, bias, plan in before:
            if parameter is not None and values is not None:
                if parametrize.is_parametrized(module, "weight"):
                    parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
                with torch.no_grad():
                    parameter.set_(values)  # type: ignore[call-overload]
                _put_weight(module, parameter)
            if bias is not None and module.bias is not None:
                module.bias.data.copy_(bias)
            module.__dict__.pop("_layer_plan", None)
            if plan is not None:
                module.__dict__["_layer_plan"] = plan
        raise


def _put_weight(module: nn.Module, parameter: nn.Parameter) -> None:
    """Make `parameter` the weight again, first in order as it was (a frozen one may have come back as a buffer)."""
    del module.weight
    rest = dict(module._parameters)
    module._parameters.clear()
    module._parameters.update({"weight": parameter, **rest})

"""Activation-aware least squares: coefficients that keep a layer's output, where weight fits keep its weights.

A layer's output is linear in its coefficients, ``y = theta z + b``, where ``z`` are the layer's inputs under each
output, multiplied by the transposed bases of in, row and col. So the best coefficients for the calibration images
follow in closed form from the second moments of ``z`` and ``y``. Damping pulls towards the coefficients that the
layer has; they are also where the error can only go down from.

Ranked weights are chosen in turns: levels by error feedback (`horner.approximation.feedback`), then the curve in closed
form.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from horner.approximation.feedback import assign
from horner.approximation.layers import approximated, originals
from horner.approximation.positional import PositionalWeight, blocks, multiply
from horner.approximation.problem import LayerFit, Moments, Quadratic, Target, add
from horner.approximation.ranked import RankedWeight
from horner.basis import Axis
from horner.errors import DataError, ModelError
from horner.training.evaluate import evaluating

Images = Tensor | Iterable[Any]

TURNS = 3
"""Of choosing levels and fitting the curve to them."""


def fit_(
    model: nn.Module,
    images: Images,
    reference: nn.Module,
    *,
    sequential: bool = True,
    bias: bool = True,
    damping: float = 1e-2,
    batch_size: int = 64,
) -> dict[str, LayerFit]:
    """Set the coefficients of every approximated layer so that its output stays near that of the dense network.

    Parameters
    ----------
    model
        Approximated; changed in place. Layers that the images do not reach stay as they are.
    images
        Calibration images as the model takes them, some hundred: one tensor, or batches (a loader's, too, whose
        labels are not looked at).
    reference
        The dense network, of the same layers under the same names.
    sequential
        Fit layer after layer, each to give the dense network's output from what the layers fitted before it
        really hand it, so that errors are made good instead of adding up; one run of both networks per layer.
        Otherwise every layer sees the dense network's activations, in a single run.
    bias
        Whether a layer's bias, where it has one, is fitted with its weights: the mean of the error vanishes.
    damping
        Weight of staying near the present coefficients, relative to the mean square of an input.
    batch_size
        Images per run when `images` is one tensor.

    Returns
    -------
    dict
        The error before and after, by layer. After is never more than before.

    Raises
    ------
    ModelError
        When nothing is approximated, or the reference's layers are not the model's.
    DataError
        When there are no images, or an activation is not finite.
    """
    layers = approximated(model)
    if not layers:
        raise ModelError("nothing to fit: no layer of the model is approximated; call approximate_ first")
    for name, (module, _) in layers.items():
        _check(name, module, reference)
    batches = _batches(images, batch_size, model)
    with evaluating(model), evaluating(reference):
        calls = _calls(model, list(layers), batches[0])
        problems = {name: _problem(layers[name][0], layers[name][1]) for name in calls}
        if not sequential:
            moments = {name: Moments() for name in calls}
            for batch in batches:
                for name, pairs in _observe(reference, calls, batch).items():
                    for x, y in pairs:
                        add(moments[name], layers[name][0], problems[name].form, x, y)
            return {name: _solve(name, problems[name], moments[name], bias, damping) for name in calls}
        fits = {}
        for name, count in calls.items():
            moment = Moments()
            for batch in batches:
                wanted = _observe(reference, {name: count}, batch)[name]
                given = _observe(model, {name: count}, batch)[name]
                for (x, _), (_, y) in zip(given, wanted, strict=True):
                    add(moment, layers[name][0], problems[name].form, x, y)
            fits[name] = _solve(name, problems[name], moment, bias, damping)
        return fits


def _solve(name: str, problem: Problem | RankedProblem, moments: Moments, bias: bool, damping: float) -> LayerFit:
    return problem.solve(Target(name, moments, problem.module.bias, bias), damping)


@dataclass
class Problem:
    """A layer as ``y = (Q theta) z + b``: `Q` of the axis `out`, one `z` for each group of rows of ``Q theta``."""

    module: nn.Conv2d | nn.Linear
    form: PositionalWeight

    def solve(self, target: Target, damping: float) -> LayerFit:
        """Find the coefficients, and the bias if it is free; store them."""
        (theta,) = originals(self.module)
        start = theta.detach().double().reshape(theta.shape[0], -1)
        groups = len(target.z)
        found = start + self._step(target.free, start, damping)
        if not target.free.error(self._rows(found, groups)) <= target.free.error(self._rows(start, groups)):
            found = start  # rounding, where nothing is left to gain
        theta.copy_(found.reshape(theta.shape))
        return target.finish(self._rows(start, groups), self._rows(found, groups))

    @property
    def out(self) -> Axis:
        """The axis of filters."""
        return self.form.axes[0]

    def _rows(self, theta: Tensor, groups: int) -> Tensor:
        """Q theta, ``(groups, outputs, features)``."""
        return _along(self.out, theta, False).reshape(groups, self.out.length // groups, -1)

    def _step(self, error: Quadratic, start: Tensor, damping: float) -> Tensor:
        """Solve the damped normal equations for the change of theta."""
        square = error.square
        groups, features = square.shape[:2]
        ridge = error.ridge(damping).mean()
        eye = torch.eye(features, dtype=square.dtype, device=square.device)
        right = _along(self.out, error.residual(self._rows(start, groups)).flatten(0, 1), True)
        per_group = self.out.length // groups
        if groups == 1 or self.out.dense or per_group % (self.out.segment or self.out.length) == 0:
            # every polynomial along out sees one group's inputs: Q drops out, for it is orthonormal
            right = right.reshape(groups, -1, features)
            return torch.linalg.solve(square + ridge * eye, right, left=False).reshape(-1, features)
        steps, first = [], 0
        owner = torch.arange(self.out.length, device=square.device) // per_group
        shapes = [block.q for block in blocks(self.out) for _ in range(block.count)]
        for (start_, size), shape in zip(self.out.pieces, shapes, strict=True):
            q, terms = torch.tensor(shape, device=square.device), shape.shape[1]
            normal = torch.einsum("is,it,ipq->sptq", q, q, square[owner[start_ : start_ + size]])
            normal = normal.reshape(terms * features, -1)
            normal = normal + ridge * torch.eye(len(normal), dtype=square.dtype, device=square.device)
            part = right[first : first + terms].reshape(-1)
            steps.append(torch.linalg.solve(normal, part).reshape(terms, features))
            first += terms
        return torch.cat(steps)


@dataclass
class RankedProblem:
    """A layer of ranked weights: levels and a curve that make the least error in the output that can be found."""

    module: nn.Conv2d | nn.Linear
    ranked: RankedWeight

    @property
    def form(self) -> PositionalWeight:
        """Every weight at its own position: what the inputs are gathered by."""
        shape = self.ranked.shape
        return PositionalWeight([Axis(length) for length in (*shape, 1, 1)[:4]], shape).to(self.module.weight)

    def solve(self, target: Target, damping: float) -> LayerFit:
        """Find levels and curve, and the bias if it is free; store them."""
        latent, curve = originals(self.module)
        error, groups = target.free, len(target.z)
        shape = groups, self.ranked.shape[0] // groups, -1
        eye = torch.eye(error.square.shape[1], dtype=torch.float64, device=latent.device)
        damped = replace(error, square=error.square + error.ridge(damping)[:, None, None] * eye)
        dense = latent.detach().double().reshape(shape)
        wanted = dense + torch.linalg.solve(damped.square, error.residual(dense), left=False)
        levels, values = self.ranked.levels(latent, curve).long(), curve.detach().double()
        start = self._rows(levels, values).reshape(shape)
        best = torch.inf
        for turn in range(TURNS + 1):
            if turn:
                levels = assign(wanted, damped.square, self.ranked.codebook(values)).reshape(self.ranked.shape)
            values = self._curve(levels, values, error)
            rows = self._rows(levels, values).reshape(shape)
            if turn == 0 or error.error(rows) < best:
                best, found = error.error(rows), (levels, values, rows)
        levels, values, rows = found
        curve.copy_(values)
        latent.copy_(self.ranked.settled(latent, curve, levels)[0])
        return target.finish(start, rows)

    def _rows(self, levels: Tensor, values: Tensor) -> Tensor:
        basis = self.ranked.basis(levels).double()
        return torch.einsum("tf...,ft->f...", basis, values.expand(len(levels), -1))

    def _curve(self, levels: Tensor, values: Tensor, error: Quadratic) -> Tensor:
        """Return the curve of least error through levels that stay."""
        groups = len(error.square)
        basis = self.ranked.basis(levels).double().reshape(values.shape[1], groups, len(levels) // groups, -1)
        moved = (basis @ error.square).flatten(1, 2)
        gram = torch.einsum("sfi,tfi->fst", moved, basis.flatten(1, 2))
        moments = torch.einsum("tfi,fi->ft", basis.flatten(1, 2), error.cross.mT.flatten(0, 1))
        if len(values) == 1:
            gram, moments = gram.sum(0, keepdim=True), moments.sum(0, keepdim=True)
        moments = moments - torch.einsum("fst,ft->fs", gram, values)
        return values + (torch.linalg.pinv(gram, rtol=1e-12, hermitian=True) @ moments[..., None])[..., 0]


def _problem(module: nn.Conv2d | nn.Linear, form: PositionalWeight | RankedWeight) -> Problem | RankedProblem:
    return RankedProblem(module, form) if isinstance(form, RankedWeight) else Problem(module, form)


def _along(axis: Axis, values: Tensor, transposed: bool) -> Tensor:
    """Multiply the first dimension by the orthonormal basis of an axis, or by its transpose."""
    if axis.dense:
        return values
    parts = [(torch.tensor(b.q.T if transposed else b.q, device=values.device), b.count) for b in blocks(axis)]
    return multiply(values, 0, parts)


class _Enough(Exception):  # noqa: N818
    """Raised from a hook: nothing after this layer needs to be computed."""


def _observe(model: nn.Module, calls: dict[str, int], batch: Tensor) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Run a batch as far as needed; return (input, output) of every call of the layers."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in calls}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
            seen[name].append((args[0] if args else kwargs["input"], output))
            if all(len(seen[name]) == count for name, count in calls.items()):
                raise _Enough

        return hook

    with contextlib.ExitStack() as hooks, contextlib.suppress(_Enough):
        for name in calls:
            handle = model.get_submodule(name).register_forward_hook(watch(name), with_kwargs=True)
            hooks.callback(handle.remove)
        model(batch)
    return seen


def _calls(model: nn.Module, names: Sequence[str], batch: Tensor) -> dict[str, int]:
    """How often each layer is called in a run, in the order of their first calls."""
    calls: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            calls[name] = calls.get(name, 0) + 1

        return hook

    with contextlib.ExitStack() as hooks:
        for name in names:
            hooks.callback(model.get_submodule(name).register_forward_hook(watch(name)).remove)
        model(batch[:1])
    return calls


def _batches(images: Images, size: int, model: nn.Module) -> list[Tensor]:
    device = next(model.parameters()).device
    batches = images.split(size) if isinstance(images, Tensor) else images
    found = [(batch[0] if isinstance(batch, list | tuple) else batch).to(device) for batch in batches]
    found = [batch for batch in found if len(batch)]
    if not found:
        raise DataError("no calibration images; give some hundred as the model takes them")
    return found


def _check(name: str, module: nn.Module, reference: nn.Module) -> None:
    try:
        other = reference.get_submodule(name)
    except AttributeError:
        raise ModelError(f"the reference has no layer {name}; give the dense network that was approximated") from None
    shapes = [getattr(getattr(layer, "weight", None), "shape", None) for layer in (other, module)]
    if shapes[0] != shapes[1]:
        raise ModelError(f"layer {name} of the reference has a weight of shape {shapes[0]}, the model's is {shapes[1]}")

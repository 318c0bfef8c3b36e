"""Activation-aware least squares: coefficients that keep a layer's output, where weight fits keep its weights.

A layer's output is linear in its coefficients, ``y = theta z + b``, where ``z`` are the layer's inputs under each
output, multiplied by the transposed bases of in, row and col. So the best coefficients for the calibration images
follow in closed form from the second moments of ``z`` and ``y``. Damping pulls towards the coefficients that the
layer has; they are also where the error can only go down from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from horner.approximation.layers import approximated, originals
from horner.approximation.positional import PositionalWeight, blocks, multiply
from horner.approximation.ranked import RankedWeight
from horner.basis import Axis
from horner.errors import DataError, ModelError
from horner.training.evaluate import evaluating

Images = Tensor | Iterable[Any]

LARGEST_CHUNK = 1 << 24
"""Elements of unfolded inputs held at once."""


@dataclass(frozen=True)
class LayerFit:
    """Squared error of a layer's output on the calibration images, relative to the output's own square."""

    before: float
    after: float


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
                        problems[name].add(moments[name], x, y)
            return {name: problems[name].solve(name, moments[name], bias, damping) for name in calls}
        fits = {}
        for name, count in calls.items():
            moment = Moments()
            for batch in batches:
                wanted = _observe(reference, {name: count}, batch)[name]
                given = _observe(model, {name: count}, batch)[name]
                for (x, _), (_, y) in zip(given, wanted, strict=True):
                    problems[name].add(moment, x, y)
            fits[name] = problems[name].solve(name, moment, bias, damping)
        return fits


class Moments:
    """Sums over samples, float64, of what least squares needs to know: ``z z'``, ``z y'``, ``z``, ``y``, ``y^2``."""

    def __init__(self) -> None:
        self.samples = 0
        self.sums: list[Tensor] = []

    def add(self, z: Tensor, y: Tensor) -> None:
        """Add samples: `z` is ``(groups, samples, features)``, `y` is ``(groups, samples, outputs)``."""
        z, y = z.double(), y.double()
        sums = [z.mT @ z, z.mT @ y, z.sum(1), y.sum(1), y.square().sum(1)]
        self.samples += z.shape[1]
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)] if self.sums else sums

    @property
    def means(self) -> list[Tensor]:
        """The sums divided by the samples."""
        return [value / self.samples for value in self.sums]


@dataclass
class Problem:
    """A layer as ``y = (Q theta) z + b``: `Q` of the axis `out`, one `z` for each group of rows of ``Q theta``."""

    module: nn.Conv2d | nn.Linear
    out: Axis
    features: Callable[[Tensor], Tensor]
    """Inputs of the layer to ``(groups, samples, features)``."""
    start: Tensor
    """theta, ``(out.coefficients, features)``, float64."""
    store: Callable[[Tensor], None]

    def add(self, moments: Moments, x: Tensor, y: Tensor) -> None:
        """Add a batch of the layer's inputs and wanted outputs, a bounded part at a time."""
        positions = y[0].numel() // y.shape[1] if y.ndim == 4 else 1
        step = max(1, LARGEST_CHUNK // max(1, self.module.weight[0].numel() * positions))
        if isinstance(self.module, nn.Linear):
            x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
        for some, wanted in zip(x.split(step), y.split(step), strict=True):
            z = self.features(some)
            wanted = wanted.reshape(len(wanted), z.shape[0], self.out.length // z.shape[0], -1)
            moments.add(z, wanted.permute(1, 0, 3, 2).flatten(1, 2))

    def solve(self, name: str, moments: Moments, bias: bool, damping: float) -> LayerFit:
        """Find the coefficients, and the bias if it is free; store them."""
        square, cross, z, y, y2 = moments.means
        if not all(bool(value.isfinite().all()) for value in (square, cross, y2)):
            raise DataError(f"layer {name}: its activations on the calibration images are not finite")
        own = self.module.bias
        present = torch.zeros_like(y) if own is None else own.detach().double().reshape(y.shape)
        scale = float(y2.sum()) or 1.0
        before = self._error(
            self.start, square, cross - z[..., None] * present[:, None], y2 - 2 * present * y + present**2
        )
        offset = present
        if bias and own is not None:
            offset = y
            square = square - z[..., None] * z[:, None]
        cross = cross - z[..., None] * offset[:, None]
        y2 = y2 - 2 * offset * y + offset**2
        theta = self.start + self._step(self._residual(self.start, square, cross), square, damping)
        after = self._error(theta, square, cross, y2)
        if not after <= self._error(self.start, square, cross, y2):  # rounding, where nothing is left to gain
            theta, after = self.start, self._error(self.start, square, cross, y2)
        self.store(theta)
        if bias and own is not None:
            own.copy_((y - (self._rows(theta, len(z)) @ z[..., None])[..., 0]).reshape(own.shape))
        return LayerFit(max(0.0, before) / scale, max(0.0, after) / scale)

    def _rows(self, theta: Tensor, groups: int) -> Tensor:
        """Q theta, ``(groups, outputs, features)``."""
        return _along(self.out, theta, False).reshape(groups, self.out.length // groups, -1)

    def _residual(self, theta: Tensor, square: Tensor, cross: Tensor) -> Tensor:
        """Half the negative gradient of the error with respect to every row of ``Q theta``."""
        return (cross.mT - self._rows(theta, len(square)) @ square).flatten(0, 1)

    def _error(self, theta: Tensor, square: Tensor, cross: Tensor, y2: Tensor) -> float:
        rows = self._rows(theta, len(square))
        return float(y2.sum() - 2 * (rows * cross.mT).sum() + ((rows @ square) * rows).sum())

    def _step(self, residual: Tensor, square: Tensor, damping: float) -> Tensor:
        """Solve the damped normal equations for the change of theta."""
        groups, features = square.shape[:2]
        ridge = damping * square.diagonal(dim1=1, dim2=2).mean() + torch.finfo(torch.float64).tiny
        eye = torch.eye(features, dtype=square.dtype, device=square.device)
        right = _along(self.out, residual, True)
        per_group = self.out.length // groups
        if groups == 1 or self.out.dense or per_group % (self.out.segment or self.out.length) == 0:
            # every polynomial along out sees one group's inputs: Q drops out, for it is orthonormal
            right = right.reshape(groups, -1, features)
            return torch.linalg.solve(square + ridge * eye, right, left=False).reshape(-1, features)
        steps, first = [], 0
        owner = torch.arange(self.out.length, device=square.device) // per_group
        shapes = [block.q for block in blocks(self.out) for _ in range(block.count)]
        for (start, size), shape in zip(self.out.pieces, shapes, strict=True):
            q, terms = torch.tensor(shape, device=square.device), shape.shape[1]
            normal = torch.einsum("is,it,ipq->sptq", q, q, square[owner[start : start + size]])
            normal = normal.reshape(terms * features, -1)
            normal = normal + ridge * torch.eye(len(normal), dtype=square.dtype, device=square.device)
            part = right[first : first + terms].reshape(-1)
            steps.append(torch.linalg.solve(normal, part).reshape(terms, features))
            first += terms
        return torch.cat(steps)


def _problem(module: nn.Conv2d | nn.Linear, form: PositionalWeight | RankedWeight) -> Problem:
    if isinstance(form, RankedWeight):
        return _ranked_problem(module, form)
    (theta,) = originals(module)

    def store(value: Tensor) -> None:
        theta.copy_(value.reshape(theta.shape))

    start = theta.detach().double().reshape(theta.shape[0], -1)
    return Problem(module, form.axes[0], lambda x: _gathered(module, form, x), start, store)


def _ranked_problem(module: nn.Conv2d | nn.Linear, form: RankedWeight) -> Problem:
    """A curve as a problem of its own: its few coefficients against the sums of the inputs at each level.

    Weights keep the levels they have, so every filter is a group with the features of its own levels; a curve for
    the whole layer is one that is constant along the filters.
    """
    latent, curve = originals(module)
    levels = form.levels(latent, curve)
    basis = form.basis(levels).to(latent.dtype)
    filters = form.shape[0]
    shared = form.curves[0] == 1
    unit = filters**0.5 if shared else 1.0  # the orthonormal constant of `filters` rows is 1 / sqrt(filters)

    def features(x: Tensor) -> Tensor:
        sums = torch.stack([_apply(module, x, weight) for weight in basis])  # (terms, samples, filters, ...)
        return sums.reshape(len(basis), len(x), filters, -1).permute(2, 1, 3, 0).flatten(1, 2)

    def store(value: Tensor) -> None:
        curve.copy_(value / unit)
        settled, _ = form.settled(latent, curve, levels)
        latent.copy_(settled)

    out = Axis(filters, degree=0) if shared else Axis(filters)
    return Problem(module, out, features, curve.detach().double() * unit, store)


def _gathered(module: nn.Conv2d | nn.Linear, form: PositionalWeight, x: Tensor) -> Tensor:
    """Inputs under every output, times the transposed bases: ``(groups, samples, features)``."""
    channels, *kernel = form.view[1:]
    if isinstance(module, nn.Linear):
        z = x.reshape(len(x), *form.view[1:])
        for at in (1, 2, 3):
            z = form.project(z, at)
        return z.reshape(1, len(x), -1)
    x = F.pad(x, module._reversed_padding_repeated_twice)  # the explicit amounts, also for "same"
    x = form.project(x.reshape(len(x) * module.groups, channels, *x.shape[2:]), 1)
    z = F.unfold(x, tuple(kernel), module.dilation, 0, module.stride)
    z = z.reshape(-1, module.groups, x.shape[1], *kernel, z.shape[-1])
    z = form.project(form.project(z, 2, dimension=3), 3, dimension=4)
    return z.permute(1, 0, 5, 2, 3, 4).reshape(module.groups, -1, z.shape[2] * z.shape[3] * z.shape[4])


def _apply(module: nn.Conv2d | nn.Linear, x: Tensor, weight: Tensor) -> Tensor:
    if isinstance(module, nn.Conv2d):
        return F.conv2d(x, weight, None, module.stride, module.padding, module.dilation, module.groups)
    return F.linear(x, weight)


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

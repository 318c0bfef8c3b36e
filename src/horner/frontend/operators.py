"""What each torch operator means to Horner: one reader per operator, found by its name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from horner.errors import ModelError
from horner.frontend.graph import (
    AdaptivePooling,
    Addition,
    AveragePooling,
    BatchNorm,
    Clamp,
    Concatenation,
    Convolution,
    Flattening,
    Linear,
    MaxPooling,
    Operation,
    Pair,
    Shape,
)

KNOWN = (
    "convolution, linear, batch norm, ReLU, ReLU6, max / average / adaptive average pooling, add, concat, flatten, "
    "dropout, softmax at the end"
)
BATCH = 2  # not 1, so that a flattened batch is told from a flattened map


def argument(fx: torch.fx.Node, place: int, name: str, default: Any) -> Any:
    """Return an argument of a call, by place or by name."""
    return fx.args[place] if len(fx.args) > place else fx.kwargs.get(name, default)


def full(fx: Any) -> tuple[int, ...]:
    """Return the shape of a node's (first) result, the batch included."""
    value = fx.meta["val"]
    return tuple(int(n) for n in (value[0] if isinstance(value, tuple | list) else value).shape)


def activation(fx: torch.fx.Node) -> Shape:
    """Return the shape of a node's result as an activation's; raise ModelError where it is none."""
    shape = _as_map(full(fx))
    if shape is None or len(full(fx)) not in (2, 4):
        raise ModelError(f"{where(fx)}: an activation of shape {full(fx)}; Horner takes (n, c, h, w) and (n, c)")
    return shape


def where(fx: torch.fx.Node) -> str:
    """Return the path of the module that a node stands in."""
    stack = fx.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return paths[-1] if paths and paths[-1] else "the model's own forward"


def unknown(fx: torch.fx.Node) -> NoReturn:
    """Refuse an operator that has no reader."""
    raise ModelError(f"{where(fx)}: operation {fx.target} is not supported; Horner knows {KNOWN}")


def _convolution(fx: torch.fx.Node) -> Operation:
    padding: Any = argument(fx, 4, "padding", (0, 0))
    dilation = _pair(argument(fx, 5, "dilation", (1, 1)))
    stride = _pair(argument(fx, 3, "stride", (1, 1)))
    if isinstance(padding, str):
        kernel = full(fx.args[1])[2:]
        total = [0 if padding == "valid" else d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(n % 2 for n in total):
            raise ModelError(f"{where(fx)}: padding='same' with kernel {tuple(kernel)} pads unevenly; pad explicitly")
        padding = [n // 2 for n in total]
    return Convolution(stride, _pair(padding), dilation, int(argument(fx, 6, "groups", 1)))


def _batch_norm(fx: torch.fx.Node) -> Operation:
    if argument(fx, 5, "training", False) or fx.args[3] is None:
        raise ModelError(
            f"{where(fx)}: batch norm without running statistics cannot be folded; set track_running_stats=True"
        )
    return BatchNorm(float(argument(fx, 7, "eps", 1e-5)))


def _clamp(fx: torch.fx.Node) -> Operation:
    low, high = argument(fx, 1, "min", None), argument(fx, 2, "max", None)
    return _bounded(fx, -math.inf if low is None else float(low), math.inf if high is None else float(high))


def _clamp_max(fx: torch.fx.Node) -> Operation:
    return _bounded(fx, -math.inf, float(argument(fx, 1, "max", math.inf)))


def _hardtanh(fx: torch.fx.Node) -> Operation:
    return _bounded(fx, float(argument(fx, 1, "min_val", -1)), float(argument(fx, 2, "max_val", 1)))


def _threshold(fx: torch.fx.Node) -> Operation:
    if argument(fx, 1, "threshold", None) != 0 or argument(fx, 2, "value", None) != 0:
        unknown(fx)
    return Clamp(0.0, math.inf)


def _bounded(fx: torch.fx.Node, low: float, high: float) -> Operation:
    if not low < high:
        raise ModelError(f"{where(fx)}: a clamp from {low} to {high} lets nothing through")
    return Clamp(low, high)


def _max_pool(fx: torch.fx.Node) -> Operation:
    kernel = _pair(fx.args[1])
    return MaxPooling(
        kernel,
        _pair(argument(fx, 2, "stride", ()) or kernel),
        _pair(argument(fx, 3, "padding", 0)),
        _pair(argument(fx, 4, "dilation", 1)),
        bool(argument(fx, 5, "ceil_mode", False)),
    )


def _adaptive_max_pool(fx: torch.fx.Node) -> Operation:
    (_, *before), (_, *after) = activation(fx.args[0]), activation(fx)  # type: ignore[arg-type]
    if any(length % windows for length, windows in zip(before, after, strict=True)):
        raise ModelError(f"{where(fx)}: adaptive max pooling of {before} to {after}, which does not divide it")
    kernel = before[0] // after[0], before[1] // after[1]
    return MaxPooling(kernel, kernel, (0, 0), (1, 1), False)


def _largest(fx: torch.fx.Node) -> Operation:
    _, rows, columns = _whole_map(fx, "maximum")
    return MaxPooling((rows, columns), (rows, columns), (0, 0), (1, 1), False)


def _average_pool(fx: torch.fx.Node) -> Operation:
    kernel = _pair(fx.args[1])
    if argument(fx, 6, "divisor_override", None) is not None:
        raise ModelError(f"{where(fx)}: average pooling with divisor_override is not supported")
    return AveragePooling(
        kernel,
        _pair(argument(fx, 2, "stride", ()) or kernel),
        _pair(argument(fx, 3, "padding", 0)),
        bool(argument(fx, 4, "ceil_mode", False)),
        bool(argument(fx, 5, "count_include_pad", True)),
    )


def _adaptive_pool(fx: torch.fx.Node) -> Operation:
    _, rows, columns = activation(fx)
    return AdaptivePooling((rows, columns))


def _mean(fx: torch.fx.Node) -> Operation:
    _whole_map(fx, "mean")
    return AdaptivePooling((1, 1))


def _whole_map(fx: torch.fx.Node, what: str) -> Shape:
    """Return the shape of the map that is reduced; refuse reductions over anything else."""
    dimensions, before = argument(fx, 1, "dim", None), full(fx.args[0])
    if len(before) != 4 or not dimensions or sorted(d % 4 for d in dimensions) != [2, 3]:
        raise ModelError(
            f"{where(fx)}: a {what} over dimensions {dimensions} of {before}; only over the whole map, (2, 3)"
        )
    return activation(fx.args[0])  # type: ignore[arg-type]


def _add(fx: torch.fx.Node) -> Operation | None:
    if argument(fx, 2, "alpha", 1) != 1:
        raise ModelError(f"{where(fx)}: add with alpha; only plain additions are supported")
    terms = argument(fx, 0, "input", None), argument(fx, 1, "other", None)
    return None if any(isinstance(term, int | float) and term == 0 for term in terms) else Addition()  # sum([x, y])


def _concat(fx: torch.fx.Node) -> Operation:
    dimension = argument(fx, 1, "dim", 0)
    if dimension % len(full(fx)) != 1:
        raise ModelError(f"{where(fx)}: concatenation along dimension {dimension}; along the channels it is 1")
    return Concatenation()


def _reshape(fx: torch.fx.Node) -> Operation | None:
    """Flatten, or a view that changes nothing but dimensions of size 1 at the end."""
    before, after = _as_map(full(fx.args[0])), _as_map(full(fx))
    if after is not None and before == after:
        return None
    if before is None or after is None or after[1:] != (1, 1):
        raise ModelError(
            f"{where(fx)}: reshaping {full(fx.args[0])} to {full(fx)}; only flattening each image is supported"
        )
    return Flattening()


def _pad(fx: torch.fx.Node) -> Operation | None:
    mode = argument(fx, 2, "mode", "constant")
    if mode == "constant" and not any(argument(fx, 1, "pad", ())):
        return None
    raise ModelError(
        f"{where(fx)}: padding on its own (mode {mode!r}) is not supported; pad with zeros in the convolution or "
        f"pooling that follows: padding=..., padding_mode='zeros'"
    )


def _dropout(fx: torch.fx.Node) -> None:
    if argument(fx, 2, "train", False):
        raise ModelError(f"{where(fx)}: dropout that is on in evaluation mode too; call it with training=self.training")


def _real(fx: torch.fx.Node) -> None:
    if not fx.meta["val"].dtype.is_floating_point:
        raise ModelError(f"{where(fx)}: an activation becomes {fx.meta['val'].dtype}; keep it floating-point")


def _nothing(fx: torch.fx.Node) -> None:
    pass


def _pair(value: Any) -> Pair:
    values = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return (values[0], values[-1])


def _as_map(shape: tuple[int, ...]) -> Shape | None:
    """Return (channels, rows, columns) of a batched shape, missing dimensions being 1, or None."""
    if shape[0] != BATCH or not 2 <= len(shape) <= 4:
        return None
    channels, rows, columns = (*shape[1:], 1, 1)[:3]
    return channels, rows, columns


IDENTITY: dict[str, Callable[[torch.fx.Node], None]] = {
    "aten._assert_tensor_metadata.default": _nothing,
    "aten.alias.default": _nothing,
    "aten.alpha_dropout.default": _dropout,
    "aten.clone.default": _nothing,
    "aten.contiguous.default": _nothing,
    "aten.detach.default": _nothing,
    "aten.detach_.default": _nothing,
    "aten.dropout.default": _dropout,
    "aten.dropout_.default": _dropout,
    "aten.feature_alpha_dropout.default": _dropout,
    "aten.feature_dropout.default": _dropout,
    "aten.feature_dropout_.default": _dropout,
    "aten.lift_fresh_copy.default": _nothing,
    "aten.to.device": _real,
    "aten.to.dtype": _real,
    "aten.to.dtype_layout": _real,
}
"""Operators that leave an activation as it is, and what they must not do."""

HEADS = {
    "aten.softmax.int": "softmax",
    "aten._softmax.default": "softmax",
    "aten.log_softmax.int": "log_softmax",
    "aten._log_softmax.default": "log_softmax",
}
"""Operators that a network may end with."""

READERS: dict[str, Callable[[torch.fx.Node], Operation | None]] = {
    "aten.conv2d.default": _convolution,
    "aten.conv2d.padding": _convolution,
    "aten.linear.default": lambda fx: Linear(),
    "aten.batch_norm.default": _batch_norm,
    "aten.relu.default": lambda fx: Clamp(0.0, math.inf),
    "aten.relu_.default": lambda fx: Clamp(0.0, math.inf),
    "aten.relu6.default": lambda fx: Clamp(0.0, 6.0),
    "aten.relu6_.default": lambda fx: Clamp(0.0, 6.0),
    "aten.hardtanh.default": _hardtanh,
    "aten.hardtanh_.default": _hardtanh,
    "aten.threshold.default": _threshold,
    "aten.threshold_.default": _threshold,
    "aten.clamp.default": _clamp,
    "aten.clamp_.default": _clamp,
    "aten.clip.default": _clamp,
    "aten.clip_.default": _clamp,
    "aten.clamp_min.default": _clamp,
    "aten.clamp_min_.default": _clamp,
    "aten.clamp_max.default": _clamp_max,
    "aten.clamp_max_.default": _clamp_max,
    "aten.max_pool2d.default": _max_pool,
    "aten.max_pool2d_with_indices.default": _max_pool,
    "aten.adaptive_max_pool2d.default": _adaptive_max_pool,
    "aten.amax.default": _largest,
    "aten.avg_pool2d.default": _average_pool,
    "aten.adaptive_avg_pool2d.default": _adaptive_pool,
    "aten._adaptive_avg_pool2d.default": _adaptive_pool,
    "aten.mean.dim": _mean,
    "aten.add.Tensor": _add,
    "aten.add_.Tensor": _add,
    "aten.cat.default": _concat,
    "aten.concat.default": _concat,
    "aten.concatenate.default": _concat,
    "aten.pad.default": _pad,
    "aten.constant_pad_nd.default": _pad,
    "aten.flatten.using_ints": _reshape,
    "aten.view.default": _reshape,
    "aten.reshape.default": _reshape,
    "aten._unsafe_view.default": _reshape,
    "aten.squeeze.default": _reshape,
    "aten.squeeze.dim": _reshape,
    "aten.squeeze.dims": _reshape,
    "aten.unsqueeze.default": _reshape,
}
"""What each operator becomes; None is the activation it reads."""

VIEWS = {name for name, reader in READERS.items() if reader is _reshape} | set(IDENTITY)
"""Operators whose result may share its memory with what they read."""

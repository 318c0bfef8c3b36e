"""Capture a PyTorch classifier by `torch.export` and name what Horner cannot take."""

from __future__ import annotations

import copy
import math
import operator
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

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
    Graph,
    Linear,
    MaxPooling,
    Node,
    Operation,
    Pair,
    Shape,
)

KNOWN = (
    "convolution, linear, batch norm, ReLU, ReLU6, max / average / adaptive average pooling, add, concat, flatten, "
    "dropout, softmax at the end"
)
BATCH = 2  # not 1, so that a flattened batch is told from a flattened map


def capture(model: nn.Module, images: torch.Tensor) -> Graph:
    """Capture the network a model is in evaluation mode.

    Parameters
    ----------
    model
        Any module that takes ``(n, channels, rows, columns)`` and returns ``(n, classes)``. It is not changed.
    images
        At least one image ``(n, channels, rows, columns)`` (or ``(channels, rows, columns)``) as the model takes them.

    Raises
    ------
    ModelError
        When the model does not run on the images, cannot be exported, or holds an operation that Horner does
        not know; the message names the operation and the module it stands in.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10))
    >>> [type(node.operation).__name__ for node in capture(model, torch.zeros(1, 1, 8, 8)).nodes]
    ['Convolution', 'Clamp', 'Flattening', 'Linear']
    """
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or not len(images):
        raise ModelError(f"images of shape {tuple(images.shape)}; capturing takes (n, channels, rows, columns)")
    plain = _plain(model)
    example = images[:1].detach().to("cpu", torch.float32).expand(BATCH, -1, -1, -1).contiguous()
    try:
        with torch.no_grad():
            plain(example)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ModelError(
            f"the model does not run on an image of shape {tuple(images.shape[1:])}: {_line(error)}"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(plain, (example,), strict=False)
    except Exception as error:  # torch.export raises many kinds; each means the same to a user
        raise ModelError(f"torch.export cannot capture the model: {_line(error)}") from error
    return _Reader(program).graph()


class _Reader:
    """Walks an exported program once; what each torch operator becomes stands in `_READERS`."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.program = program
        self.values: dict[torch.fx.Node, int] = {}
        self.nodes: list[Node] = []
        self.head = "logits"
        signature = program.graph_signature
        self.tensors = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.input: Shape = (0, 0, 0)

    def graph(self) -> Graph:
        for fx in self.program.graph.nodes:
            if fx.op == "placeholder" and fx.name in self.program.graph_signature.user_inputs:
                self.input = _shape(fx)
                self.values[fx] = 0
            elif fx.op == "call_function":
                self._read(fx)
            elif fx.op == "output":
                self._finish(fx)
        return Graph(self.input, tuple(self.nodes), self.head)

    def _read(self, fx: torch.fx.Node) -> None:
        name = str(fx.target)
        if not any(isinstance(argument, torch.fx.Node) and argument in self.values for argument in fx.all_input_nodes):
            return  # works on parameters alone, or asserts something
        if self.head != "logits":
            raise ModelError(f"{_where(fx)}: {name} after {self.head}; a softmax may only be the last operation")
        if fx.target is operator.getitem or name in _IDENTITY:
            self.values[fx] = self.values[fx.all_input_nodes[0]]
            return
        if name in _HEADS:
            dimension = _argument(fx, 1, "dim", -1)
            if dimension not in (1, -1):
                raise ModelError(f"{_where(fx)}: softmax over dimension {dimension}; over the classes it is 1")
            self.head = _HEADS[name]
            self.values[fx] = self.values[fx.args[0]]  # type: ignore[index]
            return
        reader = _READERS.get(name)
        if reader is None:
            raise ModelError(f"{_where(fx)}: operation {name} is not supported; Horner knows {KNOWN}")
        operation = reader(fx)
        if operation is None:
            self.values[fx] = self.values[fx.args[0]]  # type: ignore[index]
            return
        sources = [argument for argument in fx.all_input_nodes if argument in self.values]
        if isinstance(operation, Addition) and len(fx.all_input_nodes) == 1 and isinstance(fx.args[1], torch.fx.Node):
            sources = sources * 2  # x + x
        if isinstance(operation, Addition) and len(sources) != 2:
            raise ModelError(f"{_where(fx)}: only activations can be added, not a constant or a parameter")
        if isinstance(operation, Concatenation):
            sources = list(fx.args[0])  # type: ignore[arg-type]
        shape = _shape(fx)
        if isinstance(operation, Addition) and any(_shape(source) != shape for source in sources):
            raise ModelError(
                f"{_where(fx)}: shapes {[_shape(s) for s in sources]} are added by broadcasting; make them equal"
            )
        path = self._path(fx, operation)
        self.nodes.append(Node(operation, tuple(self.values[source] for source in sources), path, shape))
        self.values[fx] = len(self.nodes)

    def _path(self, fx: torch.fx.Node, operation: Operation) -> str:
        """Return the module that owns the weights where there are weights, else the module that runs the node."""
        if isinstance(operation, Convolution | Linear | BatchNorm):
            owner = fx.args[3 if isinstance(operation, BatchNorm) and fx.args[1] is None else 1]
            name = self.tensors.get(getattr(owner, "name", ""))
            if name is None:
                raise ModelError(f"{_where(fx)}: the weight of {fx.target} is computed, not a parameter of a module")
            return name.rpartition(".")[0]
        return _where(fx)

    def _finish(self, fx: torch.fx.Node) -> None:
        results = fx.args[0]
        mutated = len(self.program.graph_signature.buffers_to_mutate)
        outputs = list(results)[mutated:]  # type: ignore[arg-type]
        if len(outputs) != 1 or outputs[0] not in self.values or not self.nodes:
            raise ModelError(
                f"the model must return one tensor of logits computed from its input, not {len(outputs)} results"
            )
        if self.values[outputs[0]] != len(self.nodes):
            raise ModelError("the model computes something after its output that nothing reads; remove it")


def _convolution(fx: torch.fx.Node) -> Operation:
    padding: Any = _argument(fx, 4, "padding", (0, 0))
    dilation = _pair(_argument(fx, 5, "dilation", (1, 1)))
    stride = _pair(_argument(fx, 3, "stride", (1, 1)))
    if isinstance(padding, str):
        kernel = _full(fx.args[1])[2:]
        total = [0 if padding == "valid" else d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(n % 2 for n in total):
            raise ModelError(f"{_where(fx)}: padding='same' with kernel {tuple(kernel)} pads unevenly; pad explicitly")
        padding = [n // 2 for n in total]
    return Convolution(stride, _pair(padding), dilation, int(_argument(fx, 6, "groups", 1)))


def _batch_norm(fx: torch.fx.Node) -> Operation:
    if _argument(fx, 5, "training", False) or fx.args[3] is None:
        raise ModelError(
            f"{_where(fx)}: batch norm without running statistics cannot be folded; set track_running_stats=True"
        )
    return BatchNorm()


def _clamp(fx: torch.fx.Node) -> Operation:
    low, high = _argument(fx, 1, "min", None), _argument(fx, 2, "max", None)
    return Clamp(-math.inf if low is None else float(low), math.inf if high is None else float(high))


def _max_pool(fx: torch.fx.Node) -> Operation:
    kernel = _pair(fx.args[1])
    stride = _argument(fx, 2, "stride", ()) or kernel
    return MaxPooling(
        kernel,
        _pair(stride),
        _pair(_argument(fx, 3, "padding", 0)),
        _pair(_argument(fx, 4, "dilation", 1)),
        bool(_argument(fx, 5, "ceil_mode", False)),
    )


def _average_pool(fx: torch.fx.Node) -> Operation:
    kernel = _pair(fx.args[1])
    if _argument(fx, 6, "divisor_override", None) is not None:
        raise ModelError(f"{_where(fx)}: average pooling with divisor_override is not supported")
    return AveragePooling(
        kernel,
        _pair(_argument(fx, 2, "stride", ()) or kernel),
        _pair(_argument(fx, 3, "padding", 0)),
        bool(_argument(fx, 4, "ceil_mode", False)),
        bool(_argument(fx, 5, "count_include_pad", True)),
    )


def _adaptive_pool(fx: torch.fx.Node) -> Operation:
    _, *size = _shape(fx)
    return AdaptivePooling((size[0], size[1]))


def _mean(fx: torch.fx.Node) -> Operation:
    dimensions: Any = _argument(fx, 1, "dim", None)
    if dimensions is None or sorted(d % 4 for d in dimensions) != [2, 3] or len(_full(fx.args[0])) != 4:
        raise ModelError(f"{_where(fx)}: a mean over dimensions {dimensions}; only over the whole map, (2, 3)")
    return AdaptivePooling((1, 1))


def _add(fx: torch.fx.Node) -> Operation:
    if _argument(fx, 2, "alpha", 1) != 1:
        raise ModelError(f"{_where(fx)}: add with alpha; only plain additions are supported")
    return Addition()


def _concat(fx: torch.fx.Node) -> Operation:
    dimension = _argument(fx, 1, "dim", 0)
    rank = len(_full(fx))
    if dimension % rank != 1:
        raise ModelError(f"{_where(fx)}: concatenation along dimension {dimension}; along the channels it is 1")
    return Concatenation()


def _reshape(fx: torch.fx.Node) -> Operation | None:
    """Flatten, or a view that changes nothing but dimensions of size 1."""
    before, after = _full(fx.args[0]), _full(fx)
    if after[0] != BATCH or len(after) not in (2, 4):
        raise ModelError(f"{_where(fx)}: reshaping {before} to {after}; only flattening each image is supported")
    if [n for n in before if n != 1] == [n for n in after if n != 1]:
        return None
    if len(after) == 4 and after[2:] != (1, 1):
        raise ModelError(f"{_where(fx)}: reshaping {before} to {after}; only flattening each image is supported")
    return Flattening()


_IDENTITY = {
    "aten._assert_tensor_metadata.default",
    "aten.alias.default",
    "aten.alpha_dropout.default",
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.detach.default",
    "aten.detach_.default",
    "aten.dropout.default",
    "aten.dropout_.default",
    "aten.feature_dropout.default",
    "aten.feature_dropout_.default",
    "aten.lift_fresh_copy.default",
    "aten.to.device",
    "aten.to.dtype",
    "aten.to.dtype_layout",
}
_HEADS = {
    "aten.softmax.int": "softmax",
    "aten._softmax.default": "softmax",
    "aten.log_softmax.int": "log_softmax",
    "aten._log_softmax.default": "log_softmax",
}
_READERS: dict[str, Callable[[torch.fx.Node], Operation | None]] = {
    "aten.conv2d.default": _convolution,
    "aten.conv2d.padding": _convolution,
    "aten.linear.default": lambda fx: Linear(),
    "aten.batch_norm.default": _batch_norm,
    "aten.relu.default": lambda fx: Clamp(0.0, math.inf),
    "aten.relu_.default": lambda fx: Clamp(0.0, math.inf),
    "aten.relu6.default": lambda fx: Clamp(0.0, 6.0),
    "aten.relu6_.default": lambda fx: Clamp(0.0, 6.0),
    "aten.hardtanh.default": lambda fx: Clamp(
        float(_argument(fx, 1, "min_val", -1)), float(_argument(fx, 2, "max_val", 1))
    ),
    "aten.hardtanh_.default": lambda fx: Clamp(
        float(_argument(fx, 1, "min_val", -1)), float(_argument(fx, 2, "max_val", 1))
    ),
    "aten.clamp.default": _clamp,
    "aten.clamp_.default": _clamp,
    "aten.clamp_min.default": _clamp,
    "aten.clamp_min_.default": _clamp,
    "aten.max_pool2d.default": _max_pool,
    "aten.max_pool2d_with_indices.default": _max_pool,
    "aten.avg_pool2d.default": _average_pool,
    "aten.adaptive_avg_pool2d.default": _adaptive_pool,
    "aten._adaptive_avg_pool2d.default": _adaptive_pool,
    "aten.mean.dim": _mean,
    "aten.add.Tensor": _add,
    "aten.add_.Tensor": _add,
    "aten.cat.default": _concat,
    "aten.flatten.using_ints": _reshape,
    "aten.view.default": _reshape,
    "aten.reshape.default": _reshape,
    "aten._unsafe_view.default": _reshape,
    "aten.squeeze.default": _reshape,
    "aten.squeeze.dim": _reshape,
    "aten.squeeze.dims": _reshape,
    "aten.unsqueeze.default": _reshape,
}


def _plain(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode, with every parametrization baked in."""
    plain = copy.deepcopy(model).to("cpu", torch.float32).eval()
    for module in plain.modules():
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    for parameter in plain.parameters():
        parameter.requires_grad_(False)
    return plain


def _argument(fx: torch.fx.Node, place: int, name: str, default: Any) -> Any:
    return fx.args[place] if len(fx.args) > place else fx.kwargs.get(name, default)


def _pair(value: Any) -> Pair:
    values = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return (values[0], values[-1])


def _full(fx: Any) -> tuple[int, ...]:
    value = fx.meta["val"]
    return tuple(int(n) for n in (value[0] if isinstance(value, tuple | list) else value).shape)


def _shape(fx: torch.fx.Node) -> Shape:
    full = _full(fx)
    if full[0] != BATCH or len(full) not in (2, 4):
        raise ModelError(f"{_where(fx)}: an activation of shape {full}; Horner takes (n, c, h, w) and (n, c)")
    channels, rows, columns = (*full[1:], 1, 1)[:3]
    return channels, rows, columns


def _where(fx: torch.fx.Node) -> str:
    stack = fx.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return paths[-1] if paths and paths[-1] else "the model's own forward"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

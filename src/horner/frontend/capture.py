"""Capture a PyTorch classifier by `torch.export`: what module, what operation, in what order."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import operator
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from horner.errors import ModelError
from horner.frontend.graph import Addition, BatchNorm, Concatenation, Convolution, Graph, Linear, Node, Operation, Shape
from horner.frontend.lower import lower
from horner.frontend.operators import BATCH, HEADS, IDENTITY, READERS, VIEWS, activation, argument, full, unknown, where


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
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            logits = plain(example)
        except Exception as error:  # whatever the model's own code may raise
            raise ModelError(
                f"the model does not run on an image of shape {tuple(images.shape[1:])}: {_line(error)}"
            ) from error
        if not isinstance(logits, torch.Tensor):
            raise ModelError(f"the model returns a {type(logits).__name__}; make it return one tensor, the logits")
        try:
            with _quiet():
                program = torch.export.export(plain, (example,), strict=False)
        except Exception as error:  # torch.export raises many kinds; each means the same to a user
            if "data-dependent" in str(error):
                raise ModelError(
                    f"the model's forward decides by the values of a tensor ({_line(error)}); rewrite it without"
                ) from error
            raise ModelError(f"torch.export cannot capture the model: {_line(error)}") from error
        graph = _Reader(plain, program).graph()
        _confirm(plain, graph, logits, example)
    return graph


class _Reader:
    """Walks an exported program once; what each torch operator becomes stands in `horner.frontend.operators`."""

    def __init__(self, model: nn.Module, program: torch.export.ExportedProgram) -> None:
        self.model, self.program = model, program
        self.order = {fx: number for number, fx in enumerate(program.graph.nodes)}
        self.values: dict[torch.fx.Node, int] = {}
        self.nodes: list[Node] = []
        self.head = "logits"
        self.input: Shape = (0, 0, 0)

    def graph(self) -> Graph:
        needed = self._needed()
        for fx in self.program.graph.nodes:
            if fx.op == "placeholder" and fx.name in self.program.graph_signature.user_inputs:
                self.input = activation(fx)
                self.values[fx] = 0
            elif fx.op == "call_function" and fx in needed:
                self._read(fx)
            elif fx.op == "output":
                self._finish(fx)
        return Graph(self.input, tuple(self.nodes), self.head)

    def _needed(self) -> set[torch.fx.Node]:
        """What the output is computed from; a model may compute more and throw it away."""
        needed: set[torch.fx.Node] = set()
        for fx in reversed(self.program.graph.nodes):
            if fx.op == "output" or fx in needed:
                needed.update(fx.all_input_nodes)
            schema = getattr(fx.target, "_schema", None)
            if schema is not None and schema.is_mutable and str(fx.target) not in IDENTITY:
                self._check_mutation(fx)
        return needed

    def _read(self, fx: torch.fx.Node) -> None:
        name = str(fx.target)
        sources = [source for source in fx.all_input_nodes if source in self.values]
        if not sources:
            return  # works on parameters alone, or asserts something
        if self.head != "logits":
            raise ModelError(f"{where(fx)}: {name} after {self.head}; a softmax may only be the last operation")
        if fx.target is operator.getitem:
            if fx.args[1] != 0:
                raise ModelError(f"{where(fx)}: the positions of the largest values (return_indices) are not supported")
            self.values[fx] = self.values[sources[0]]
            return
        if name in IDENTITY:
            IDENTITY[name](fx)
            self.values[fx] = self.values[sources[0]]
            return
        if name in HEADS:
            dimension, rank = argument(fx, 1, "dim", -1), len(full(fx))
            if dimension % rank != 1:
                raise ModelError(f"{where(fx)}: softmax over dimension {dimension}; over the classes it is 1")
            self.head = HEADS[name]
            self.values[fx] = self.values[sources[0]]
            return
        operation = READERS.get(name, unknown)(fx)
        if operation is None:
            self.values[fx] = self.values[sources[0]]
            return
        inputs = self._inputs(fx, operation)
        path = self._path(fx, operation)
        self.nodes.append(Node(operation, tuple(self.values[source] for source in inputs), path, activation(fx)))
        self.values[fx] = len(self.nodes)

    def _inputs(self, fx: torch.fx.Node, operation: Operation) -> list[torch.fx.Node]:
        if isinstance(operation, Addition):
            inputs: Any = [argument(fx, 0, "input", None), argument(fx, 1, "other", None)]
        elif isinstance(operation, Concatenation):
            inputs = argument(fx, 0, "tensors", None)
        else:
            return [source for source in fx.all_input_nodes if source in self.values]
        verb = "added" if isinstance(operation, Addition) else "concatenated"
        for source in inputs:
            if source not in self.values:
                raise ModelError(f"{where(fx)}: only activations can be {verb}, not a constant or a parameter")
        shapes = [activation(source) for source in inputs]
        if isinstance(operation, Addition) and any(shape != activation(fx) for shape in shapes):
            raise ModelError(f"{where(fx)}: shapes {shapes} are added by broadcasting; make them equal")
        return list(inputs)

    def _path(self, fx: torch.fx.Node, operation: Operation) -> str:
        """Return the module that owns the weights where there are weights, else the module that runs the node."""
        if isinstance(operation, Convolution | Linear):
            names: tuple[str, ...] = ("weight", "bias")
        elif isinstance(operation, BatchNorm):
            names = ("weight", "bias", "running_mean", "running_var")
        else:
            return where(fx)
        signature = self.program.graph_signature
        stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        wanted: dict[str, Any] = {}
        for place, key in enumerate(names, 1):
            given = argument(fx, place, key, None)
            spelled = stored.get(getattr(given, "name", ""))
            if given is not None and spelled is None:
                raise ModelError(f"{where(fx)}: the {key} of {fx.target} is computed, not a parameter of a module")
            wanted[key] = (spelled, _find(self.model, spelled))
        owners = [where(fx), *(spelled.rpartition(".")[0] for spelled, _ in wanted.values() if spelled)]
        for path in owners:
            if all(_find(self.model, f"{path}.{key}") is tensor for key, (_, tensor) in wanted.items()):
                return path
        spelled = ", ".join(spelled or f"no {key}" for key, (spelled, _) in wanted.items())
        raise ModelError(f"{where(fx)}: {fx.target} takes {spelled}, which are not those of one module; give it one")

    def _check_mutation(self, fx: torch.fx.Node) -> None:
        """Refuse to change in place what something later reads by another name."""
        root: Any = fx.args[0]
        while str(root.target) in VIEWS:
            root = root.args[0]
        aliases = [root]
        for alias in aliases:
            aliases += [user for user in alias.users if str(user.target) in VIEWS]
            if any(self.order[user] > self.order[fx] for user in alias.users):
                raise ModelError(
                    f"{where(fx)}: {fx.target} changes in place a value that is read again under another name; "
                    f"use the form that is not in place"
                )

    def _finish(self, fx: torch.fx.Node) -> None:
        outputs: Any = fx.args[0]
        logits = outputs[-1]  # buffers that the forward changes come first
        if logits not in self.values or not self.nodes or self.values[logits] == 0:
            raise ModelError("the model's output is not computed from its input by any operation that Horner knows")
        assert self.values[logits] == len(self.nodes)  # only what the output needs was read


def _plain(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode, with every parametrization baked in."""
    try:
        plain = copy.deepcopy(model).to("cpu", torch.float32).eval()
    except RuntimeError as error:
        raise ModelError(f"the model cannot be copied: {_line(error)}; remove hooks that compute weights") from error
    for module in plain.modules():
        if parametrize.is_parametrized(module):
            # not remove_parametrizations: it changes the class, which a copy may share with the original
            values = {name: getattr(module, name).detach() for name in module.parametrizations}  # type: ignore[union-attr]
            module.__class__ = type(module).__bases__[0]
            del module.parametrizations
            for name, value in values.items():
                setattr(module, name, nn.Parameter(value))
    return plain.requires_grad_(False)


def _confirm(model: nn.Module, graph: Graph, logits: torch.Tensor, example: torch.Tensor) -> None:
    """Run what was captured and compare: nothing is ever taken for something else in silence."""
    got = lower(model, graph, integer=False)(example)
    if graph.head != "logits":
        got = (torch.softmax if graph.head == "softmax" else torch.log_softmax)(got, 1)
    wanted = logits.reshape(got.shape) if logits.numel() == got.numel() else logits
    if got.shape != wanted.shape or not torch.allclose(
        got, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()), equal_nan=True
    ):
        raise ModelError(
            "what was captured does not compute what the model does; does its forward draw random numbers, or keep "
            "state between calls?"
        )


def _find(model: nn.Module, path: str | None) -> Any:
    """Return the parameter or buffer at a path, or None."""
    found: Any = model if path else None
    for name in (path or "").lstrip(".").split("."):
        found = getattr(found, name, None)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's own report of a failed export off the terminal; the exception says it."""
    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

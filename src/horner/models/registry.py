"""From a name to a network."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from horner.errors import ModelError
from horner.models.alexnet import AlexNet
from horner.models.lenet5 import LeNet5
from horner.models.lenet5_caffe import LeNet5Caffe
from horner.models.lenet_fashion import LeNetFashion
from horner.models.resnet20 import ResNet20
from horner.models.vgg16 import VGG16

BUILT_IN: dict[str, Callable[..., nn.Module]] = {
    "alexnet": AlexNet,
    "lenet-fashion": LeNetFashion,
    "lenet5": LeNet5,
    "lenet5-caffe": LeNet5Caffe,
    "lenet5-caffe-relu": functools.partial(LeNet5Caffe, relu=True),
    "resnet20": ResNet20,
    "vgg16": VGG16,
}


def names() -> list[str]:
    """Return the names of the built-in networks, sorted.

    >>> names()
    ['alexnet', 'lenet-fashion', 'lenet5', 'lenet5-caffe', 'lenet5-caffe-relu', 'resnet20', 'vgg16']
    """
    return sorted(BUILT_IN)


def build(
    spec: str,
    *,
    batch_norm: bool | None = None,
    shape: tuple[int, int, int] = (1, 28, 28),
    classes: int = 10,
    seed: int | None = None,
) -> nn.Module:
    """Make a network with fresh weights.

    Parameters
    ----------
    spec
        A built-in name (:func:`names`) or ``package.module:function``, importable from the current
        directory too. The function is called with those of ``batch_norm``, ``shape``, ``classes``,
        ``in_channels`` and ``size`` that it has parameters for, and returns an ``nn.Module``.
    batch_norm
        ``None`` leaves the choice to the network.
    shape
        Of one image: channels, height, width. The built-ins take square images.
    classes
        Length of the output.
    seed
        Draw the initial weights from this seed, leaving torch's own generator as it was.

    Raises
    ------
    ModelError
        When there is no such network, its code fails, or it returns something else than a module.

    >>> sum(p.numel() for p in build("lenet5").parameters())
    61706
    """
    if len(shape) != 3 or any(n < 1 for n in shape):
        raise ModelError(f"an image's shape is (channels, height, width), all positive, not {shape}")
    if classes < 1:
        raise ModelError(f"a classifier has at least 1 class, not {classes}")
    constructor = BUILT_IN.get(spec)
    if constructor is not None and shape[1] != shape[2]:
        raise ModelError(f"{spec} takes square images, not {shape[1]}x{shape[2]}")
    if constructor is None:
        constructor = _find(spec)
    offered = {"shape": shape, "classes": classes, "in_channels": shape[0], "size": shape[1]}
    if batch_norm is not None:
        offered["batch_norm"] = batch_norm
    try:
        accepted = _accepted(constructor, offered)
        with torch.random.fork_rng(enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            model = constructor(**accepted)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"model {spec}: making it failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"model {spec}: it returned a {type(model).__name__}; a torch.nn.Module is wanted")
    if batch_norm is not None and "batch_norm" not in accepted:
        raise ModelError(f"model {spec} has no parameter batch_norm; leave the choice to it")
    return model


def _find(spec: str) -> Callable[..., nn.Module]:
    module_name, colon, function_name = spec.partition(":")
    if not colon or not module_name or not function_name:
        raise ModelError(f"no model named {spec!r}; choose from {', '.join(names())} or give package.module:function")
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModelError(f"model {spec}: importing {module_name} failed: {error}") from error
        raise ModelError(f"model {spec}: no module {error.name} here ({here}) or on the Python path") from error
    except Exception as error:
        raise ModelError(f"model {spec}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ModelError(f"model {spec}: {module_name} has no function {function_name}")
    return function


def _accepted(function: Callable[..., nn.Module], offered: dict[str, object]) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return offered
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = {p.name for p in parameters if p.kind in by_name}
    return {name: value for name, value in offered.items() if name in taken}

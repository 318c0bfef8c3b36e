"""Train faster what stores less: convolve with the core alone, its inputs gathered before and its outputs spread after.

Dense and factored convolution are the same function of the coefficients, up to rounding; the theorem that inference
rests on, used for training.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from horner.approximation.layers import approximated
from horner.approximation.positional import PositionalWeight, full_precision, working_dtype

POINTWISE = 2.0
"""What a multiplication of a 1x1 convolution costs, beside one of a larger kernel."""

WORTH = 0.55
"""Part of the dense cost that the factored form may have at most."""

Convolve = Callable[[Tensor, Tensor], Tensor]


def convolve(x: Tensor, form: PositionalWeight, theta: Tensor, kernel: Convolve) -> Tensor:
    """Convolve with the weights that coordinates stand for, without expanding `out` and `in`.

    Parameters
    ----------
    x
        ``(n, in, rows, columns)``.
    theta
        Coordinates in the orthonormal basis of `form`.
    kernel
        ``kernel(x, weight)``: the convolution, with its stride, padding and dilation, in one group.

    Examples
    --------
    >>> import torch
    >>> from horner.basis import Axis
    >>> form = PositionalWeight([Axis(8, 4, 1), Axis(6, 3, 1), Axis(3), Axis(3)])
    >>> theta, x = torch.randn(form.core), torch.randn(2, 6, 5, 5)
    >>> torch.allclose(convolve(x, form, theta, F.conv2d), F.conv2d(x, form(theta)), atol=1e-4)
    True
    """
    with full_precision(theta):
        core = theta.to(working_dtype(theta)).reshape(form.core)
        for at in (2, 3):
            core = form.expanded(core, at)
        gather, spread = form.basis(1), form.basis(0)
    if gather is not None:
        x = F.conv2d(x, gather.T[:, :, None, None].to(core.dtype))
    y = kernel(x, core.to(theta.dtype))
    return y if spread is None else F.conv2d(y, spread[:, :, None, None].to(core.dtype))


def worthwhile(form: Any, stride: tuple[int, ...] = (1, 1), groups: int = 1) -> bool:
    """Return whether the factored form of a convolution takes clearly fewer operations than the dense one."""
    if not isinstance(form, PositionalWeight) or len(form.view) != 4 or groups != 1:
        return False
    (out, channels, rows, columns), (few_out, few_in, *_) = form.view, form.core
    window = rows * columns
    gathering = stride[0] * stride[-1] * channels * few_in if few_in < channels else 0
    spreading = out * few_out if few_out < out else 0
    cost = POINTWISE * (gathering + spreading) + few_out * few_in * window
    return cost <= WORTH * out * channels * window


@contextlib.contextmanager
def factored(model: nn.Module) -> Iterator[None]:
    """Compute, for a while, a model's approximated convolutions in factored form wherever that is less work.

    Examples
    --------
    >>> import torch
    >>> from horner.approximation.api import approximate_
    >>> model, x = approximate_(nn.Conv2d(16, 32, 3), "out=linear/8 in=linear/8"), torch.randn(1, 16, 5, 5)
    >>> dense = model(x)
    >>> with factored(model):
    ...     print(torch.allclose(model(x), dense, atol=1e-4))
    True
    """
    changed: list[nn.Conv2d] = []
    try:
        for module, _ in approximated(model).values():
            if isinstance(module, nn.Conv2d):
                changed.append(module)
                module.forward = functools.partial(_forward, module)  # type: ignore[method-assign]
        yield
    finally:
        for convolution in changed:
            del convolution.__dict__["forward"]


def _forward(module: nn.Conv2d, x: Tensor) -> Tensor:
    chain: Any = module.parametrizations["weight"] if parametrize.is_parametrized(module, "weight") else [None]  # type: ignore[index]
    stride, padding, dilation = module.stride, module.padding, module.dilation
    if not worthwhile(chain[0], stride, module.groups):
        return type(module).forward(module, x)

    def kernel(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, None, stride, padding, dilation)

    y = convolve(x, chain[0], chain.original, kernel)
    return y if module.bias is None else y + module.bias.reshape(1, -1, 1, 1)

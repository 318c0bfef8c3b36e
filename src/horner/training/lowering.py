"""Convolve small maps by one matrix product, where convolution kernels leave most of the matrix unit idle."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LARGEST_MAP = 16
"""Positions. Kernels for Intel's AMX fill tiles from a map's rows: with maps of 4x4 most of a tile is empty."""

FEWEST_CHANNELS = 128
"""Of the input. With 256 lowering was several times faster, with 64 a little slower; 128 was not measured."""


def lowered_conv2d(x: Tensor, weight: Tensor, padding: tuple[int, int] = (0, 0)) -> Tensor:
    """Convolve with stride 1 by lowering to a matrix product (im2col); so too are both gradients.

    The same function as ``F.conv2d``, up to rounding in another order.

    Parameters
    ----------
    x
        ``(n, in, rows, columns)``; fastest with channels last.
    weight
        ``(out, in, window rows, window columns)``, of the same type as `x`.
    padding
        Zeros on each side of rows and columns, fewer than the window has.

    Returns
    -------
    Tensor
        ``(n, out, rows, columns)``, channels last.

    Examples
    --------
    >>> import torch
    >>> x, weight = torch.randn(2, 6, 4, 4), torch.randn(8, 6, 3, 3)
    >>> torch.allclose(lowered_conv2d(x, weight, (1, 1)), F.conv2d(x, weight, padding=1), atol=1e-4)
    True
    """
    return _LoweredConv2d.apply(x, weight, padding)


class _LoweredConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return _as_maps(*_product(x, weight, padding))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        rows, columns = weight.shape[2:]
        by_x = by_weight = None
        if ctx.needs_input_grad[0]:  # the full correlation with the window turned around
            around = (rows - 1 - ctx.padding[0], columns - 1 - ctx.padding[1])
            by_x = _as_maps(*_product(grad, weight.flip(2, 3).transpose(0, 1), around))
        if ctx.needs_input_grad[1]:
            flat = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1])
            patches, _ = _patches(x, (rows, columns), ctx.padding)
            by_weight = (flat.T @ patches).reshape(-1, rows, columns, x.shape[1]).permute(0, 3, 1, 2)
        return by_x, by_weight, None


def _product(x: Tensor, weight: Tensor, padding: tuple[int, int]) -> tuple[Tensor, tuple[int, int, int]]:
    patches, shape = _patches(x, (weight.shape[2], weight.shape[3]), padding)
    return patches @ weight.permute(2, 3, 1, 0).reshape(-1, len(weight)), shape


def _as_maps(flat: Tensor, shape: tuple[int, int, int]) -> Tensor:
    return flat.reshape(*shape, -1).permute(0, 3, 1, 2)


def _patches(x: Tensor, window: tuple[int, int], padding: tuple[int, int]) -> tuple[Tensor, tuple[int, int, int]]:
    """Return what each window sees, ``(n rows columns, window rows * window columns * in)``, and `n`, rows, columns."""
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], padding[0], padding[0])).contiguous()
    seen = padded.unfold(1, window[0], 1).unfold(2, window[1], 1)
    n, rows, columns = seen.shape[:3]
    return seen.permute(0, 1, 2, 4, 5, 3).reshape(n * rows * columns, -1), (n, rows, columns)


def lowering(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Lower, for a while, convolutions of small maps that autocast has in bfloat16, where the processor has AMX."""
    return _Lowering() if device.type == "cpu" and has_amx() else contextlib.nullcontext()


@functools.cache
def has_amx() -> bool:
    """Return whether this processor has Intel's unit for products of matrices of bfloat16."""
    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


class _Lowering(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (_conv2d if func is F.conv2d else func)(*args, **(kwargs or {}))


def _conv2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] | str = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> Tensor:
    if not (_whole(stride, dilation, groups) and worthwhile(input, weight, padding)):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    assert not isinstance(padding, str)
    y = lowered_conv2d(input.bfloat16(), weight.bfloat16(), _pair(padding))
    return y if bias is None else y + bias.to(y.dtype).reshape(1, -1, 1, 1)


def _whole(stride: int | tuple[int, ...], dilation: int | tuple[int, ...], groups: int) -> bool:
    return groups == 1 and set(_pair(stride)) == set(_pair(dilation)) == {1}


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def worthwhile(x: Tensor, weight: Tensor, padding: int | tuple[int, ...] | str) -> bool:
    """Return whether a convolution of stride 1, in one group, is faster lowered than by torch's kernel."""
    if not _in_bfloat16(x, weight) or isinstance(padding, str) or x.dim() != 4 or x.shape[1] < FEWEST_CHANNELS:
        return False
    window, zeros = weight.shape[2:], _pair(padding)
    rows, columns = (x.shape[2 + at] + 2 * zeros[at] - window[at] + 1 for at in (0, 1))
    fits = all(zero < width for zero, width in zip(zeros, window, strict=True))
    return fits and max(window) > 1 and 0 < rows * columns <= LARGEST_MAP


def _in_bfloat16(*tensors: Tensor) -> bool:
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    return all(tensor.dtype in {torch.float32, torch.bfloat16} for tensor in tensors)

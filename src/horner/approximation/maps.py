"""Which feature map a fully connected layer's inputs are the flatten of."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from horner.errors import ModelError
from horner.training.evaluate import evaluating


class _LastMap(TorchFunctionMode):
    """Remembers the shape of the latest (n, channels, rows, columns) that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.shape: tuple[int, ...] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim == 4 and not isinstance(result, nn.Parameter):
            self.shape = tuple(result.shape)
        return result


def feature_maps(model: nn.Module, example: Tensor) -> dict[str, tuple[int, int]]:
    """Return (rows, columns) of the map that each Linear reads flattened, by name; (1, 1) where it reads no map.

    Parameters
    ----------
    example
        One or a few images as the model takes them, ``(n, channels, rows, columns)``.

    Raises
    ------
    ModelError
        When the model does not run on the example.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 9), nn.Linear(9, 2))
    >>> feature_maps(model, torch.zeros(1, 1, 8, 8))
    {'3': (6, 6), '4': (1, 1)}
    """
    found: dict[str, tuple[int, int]] = {}
    last = _LastMap()
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Linear)}

    def look(module: nn.Module, args: tuple[Any, ...]) -> None:
        assert isinstance(module, nn.Linear)
        channels, rows, columns = last.shape[1:] if last.shape and len(args[0].shape) == 2 else (0, 1, 1)
        found.setdefault(names[module], (rows, columns) if channels * rows * columns == module.in_features else (1, 1))
        last.shape = None

    handles = [module.register_forward_pre_hook(look) for module in names]
    try:
        last.shape = tuple(example.shape) if example.ndim == 4 else None
        with evaluating(model), last:
            model(example)
    except Exception as error:
        raise ModelError(f"the model does not run on the example of shape {tuple(example.shape)}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    return found

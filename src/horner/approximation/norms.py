"""Norms as a plan can store them: one variance where a layer has one scale, biases on polynomials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from horner.approximation.positional import PositionalWeight
from horner.approximation.spaces import owner
from horner.frontend.capture import capture
from horner.frontend.graph import BatchNorm, Convolution, Graph, Linear
from horner.plan import LayerPlan


class SharedNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation with a mean and a bias per channel, but one variance and one fixed gain for the layer.

    Folded, it is one scale for all channels: a layer whose plan says ``scale=constant`` then loses nothing by storing
    one. The gain is not trained: the next layer's norm would undo it.

    Parameters
    ----------
    channels
        Second dimension of what it normalises.
    gain
        What the normalised values are multiplied by.

    Examples
    --------
    >>> norm = SharedNorm(2)
    >>> x = torch.tensor([[1.0, -3.0], [3.0, 3.0]])
    >>> norm(x).square().sum(0).tolist()  # the variances, 1 and 9, are both divided by 5
    [0.399..., 3.599...]
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, gain: float = 1.0, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(channels, eps, momentum)
        self.weight.data.fill_(gain)
        self.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(n, channels, ...)``."""
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        assert self.momentum is not None
        dimensions = [0, *range(2, x.ndim)]
        variances, means = torch.var_mean(x.float(), dimensions, correction=0)
        variance = variances.mean()
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(means, self.momentum)
            self.running_var.lerp_(variance.expand_as(means), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shape = (1, -1, *[1] * (x.ndim - 2))
        return x * scale.reshape(shape) + (self.bias - means * scale).reshape(shape)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Any number of dimensions will do."""

    def reset_parameters(self) -> None:
        """Begin without bias, the gain as it is."""
        self.reset_running_stats()
        if self.bias is not None:
            nn.init.zeros_(self.bias)


@torch.no_grad()
def share_norms_(model: nn.Module, images: Tensor, plans: Mapping[str, LayerPlan]) -> list[str]:
    """Make the norms of a dense model such as its plan can store, in place; in evaluation mode its output stays.

    Where a layer is to have one scale (``scale=constant``), its filters take up what their norm scaled them by, and a
    `SharedNorm` stands in place of that. Where its biases are to follow polynomials, those of its norm do, fitted by
    least squares (which does change the output).

    Parameters
    ----------
    model
        Not yet approximated.
    images
        At least one image as the model takes them, for capturing the network.
    plans
        Of every layer, by module path.

    Returns
    -------
    list of str
        The layers whose norms were changed.
    """
    wanted = {name: plan for name, plan in plans.items() if plan.bias or one_scale(plan)}
    if not wanted:
        return []
    changed = []
    for path, norm_path in norms_after(capture(model, images)).items():
        if (plan := wanted.get(path)) is None:
            continue
        module: Any = owner(model, path)
        norm: Any = owner(model, norm_path)
        if one_scale(plan) and not isinstance(norm, SharedNorm):
            norm = _shared(module, norm)
            parent, _, name = norm_path.rpartition(".")
            setattr(model.get_submodule(parent), name, norm)
        if plan.bias and norm.bias is not None:
            form = PositionalWeight((plan.bias.axis(len(norm.bias)),)).to(norm.bias.device)
            parametrize.register_parametrization(norm, "bias", form)
        changed.append(path)
    return changed


def one_scale(plan: LayerPlan) -> bool:
    """Return whether a plan stores one scale for all filters of a layer."""
    return plan.scale is not None and plan.scale.degree == 0 and plan.scale.segment is None


def norms_after(graph: Graph) -> dict[str, str]:
    """Return the path of the batch norm that alone reads a convolution or linear layer, by that layer's path."""
    found = {}
    for number, node in enumerate(graph.nodes):
        if isinstance(node.operation, Convolution | Linear):
            readers = [graph.nodes[i] for i in graph.readers(number + 1)]
            if len(readers) == 1 and isinstance(readers[0].operation, BatchNorm):
                found[node.path] = readers[0].path
    return found


def _shared(module: nn.Conv2d | nn.Linear, norm: Any) -> SharedNorm:
    """Hand a norm's scales to the filters before it; return what is left of it."""
    gain = torch.ones_like(norm.running_mean) if norm.weight is None else norm.weight.detach()
    scale = gain / torch.sqrt(norm.running_var + norm.eps)
    module.weight.mul_(scale.reshape(-1, *[1] * (module.weight.ndim - 1)))
    mean = norm.running_mean * scale
    if module.bias is not None:
        module.bias.mul_(scale)
    common = float(gain.square().mean().sqrt()) or 1.0
    made = SharedNorm(len(scale), common, norm.eps, norm.momentum).to(scale.device)
    made.running_mean.copy_(mean)
    made.running_var.fill_(max(common**2 - norm.eps, norm.eps))
    made.bias.copy_(torch.zeros_like(mean) if norm.bias is None else norm.bias)
    return made.train(norm.training)

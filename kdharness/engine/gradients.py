"""The gradients of one step of a player: in `.grad`, or by name for an optimiser that keeps a momentum for each."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from kdharness.api.step import NamedGradients
from kdharness.errors import CellError

# What an optimiser gets: by name and parameter.
Parts = dict[str, dict[nn.Parameter, Tensor]]


def gather(player: str, optimizer: Optimizer, parameters: Sequence[nn.Parameter], gradients: NamedGradients) -> Parts:
    """The gradients by name and parameter; their sum is in `.grad` afterwards.

    CellError for an optimiser that takes none, or not these, and for gradients that are not one per parameter.
    """
    kind, taken = type(optimizer).__name__, tuple(getattr(optimizer, "gradients", ()))
    if not taken:
        what = f"update() gives gradients by name, which {kind}, the optimizer of player '{player}', does not take"
        raise CellError("MethodError", f"{what} (one that does has its names in a class attribute `gradients`)")
    for name, values in gradients.items():
        if name not in taken:
            raise CellError("MethodError", f"{kind} takes no gradient '{name}' (it takes {', '.join(taken)})")
        if len(values) != len(parameters):
            what = f"update() gives {len(values)} gradients '{name}' for {len(parameters)} parameters"
            raise CellError("MethodError", f"{what} of player '{player}'")
    for parameter, *given in zip(parameters, *gradients.values(), strict=True):
        parameter.grad = _sum([gradient for gradient in given if gradient is not None])
    return {
        name: {p: g.detach() for p, g in zip(parameters, values, strict=True) if g is not None}
        for name, values in gradients.items()
    }


def _sum(gradients: Sequence[Tensor]) -> Tensor | None:
    """A tensor of its own: what is done to it is not done to its parts."""
    if not gradients:
        return None
    total = gradients[0].detach().clone()
    for gradient in gradients[1:]:
        total += gradient.detach()
    return total


def clip(parameters: Sequence[nn.Parameter], most: float, parts: Parts | None = None) -> None:
    """Scales the gradient to a norm of at most `most` (0: no limit), and all its parts alike.

    The norm is that of all parameters together, as in `torch.nn.utils.clip_grad_norm_`.
    """
    if not most:
        return
    norm = nn.utils.clip_grad_norm_(parameters, most)
    scale = (most / (norm + 1e-6)).clamp(max=1.0)
    for part in (parts or {}).values():
        for parameter, gradient in part.items():
            part[parameter] = gradient * scale

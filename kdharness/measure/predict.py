"""Logits of a network for samples of a split, in eval mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from kdharness.api.functional import eval_mode
from kdharness.data.images import DeviceImages
from kdharness.device.device import Device
from kdharness.errors import CellError
from kdharness.text import is_name

Made = TypeVar("Made")


def once(function: Callable[[Tensor], Made], outputs: Mapping[Any, Tensor]) -> dict[str, Made]:
    """The function of each output, by name. Of a tensor that has several names it is taken once."""
    found: dict[int, Made] = {}
    for values in outputs.values():
        if id(values) not in found:
            found[id(values)] = function(values)
    return {str(name): found[id(values)] for name, values in outputs.items()}


def named(outputs: Any) -> dict[str, Tensor]:
    """A predictor's outputs by name, float32; a bare tensor is called "logits". One tensor stays one."""
    if isinstance(outputs, Mapping):
        return once(lambda values: values.float(), outputs)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"predictor() must give logits or a dict of them, got {type(outputs).__name__}")
    return {"logits": outputs.float()}


def parts(rows: Tensor, images: DeviceImages, device: Device) -> list[Tensor]:
    """What holds a number per row, in pieces of the size of a batch."""
    return list(rows.split(device.evaluation_batch(images.images.shape[2] * images.images.shape[3])))


def batches(images: DeviceImages, rows: Tensor, device: Device) -> Iterator[Tensor]:
    """Pixels [n, C, H, W] in [0, 1] of `rows`, as predictors see them."""
    return (images.pixels(part) for part in parts(rows, images, device))


def predict(model: nn.Module, images: DeviceImages, rows: Tensor, device: Device) -> dict[str, Tensor]:
    """Logits float32 [n, classes] by predictor name for `rows` of a split, in eval mode; the mode is put back."""
    with eval_mode(model):
        chunks = [forward(model, batch) for batch in batches(images, rows, device)]
    return joined(chunks)


def joined(chunks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The outputs of all batches, by name: one tensor for names that have the same one in every batch.

    CellError for batches that do not go together.
    """
    shapes = [{name: values.shape[1:] for name, values in chunk.items()} for chunk in chunks]
    if any(other != shapes[0] for other in shapes):
        raise CellError("MethodError", "predictor() gives outputs of other names or widths for one batch than another")
    parts = {name: tuple(id(chunk[name]) for chunk in chunks) for name in chunks[0]}
    whole = {ids: torch.cat([chunk[name] for chunk in chunks]) for name, ids in parts.items()}
    return {name: whole[ids] for name, ids in parts.items()}


def forward(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """One batch, without gradient. CellError for outputs that are no logits."""
    with torch.no_grad():
        outputs = named(model(images))
    if not outputs:
        raise CellError("MethodError", "predictor() gives a dict without any logits")
    for name, logits in outputs.items():
        if not is_name(name):
            raise CellError("MethodError", f"predictor output {name[:80]!r} is no name, of letters, digits, '-', '_'")
        if logits.ndim != 2 or len(logits) != len(images):
            shape = list(logits.shape)
            raise CellError("MethodError", f"predictor output '{name}' has shape {shape} for {len(images)} images")
    return outputs

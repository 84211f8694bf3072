"""Evaluation: every named predictor on a split, the images prepared once for all cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kdharness.api.functional import eval_mode
from kdharness.data.images import DeviceImages
from kdharness.errors import CellError
from kdharness.protocol.recipe import Recipe

if TYPE_CHECKING:
    from kdharness.engine.trainee import Trainee


def batch_size_of(device: torch.device) -> int:
    """On a CPU large batches fall out of the cache, on a GPU small ones leave it idle."""
    return 2000 if device.type == "cuda" else 128


def named(outputs: Any) -> dict[str, Tensor]:
    """A predictor's outputs by name; a bare tensor is called "logits"."""
    if isinstance(outputs, Mapping):
        return {str(name): value.float() for name, value in outputs.items()}
    if not isinstance(outputs, Tensor):
        raise TypeError(f"predictor() must give logits or a dict of them, got {type(outputs).__name__}")
    return {"logits": outputs.float()}


def autocast(device: torch.device, recipe: Recipe) -> torch.autocast:
    """The precision in which the recipe evaluates networks."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16", cache_enabled=False)


def batches(images: DeviceImages, rows: Tensor, recipe: Recipe) -> Iterator[Tensor]:
    """Images [n, C, H, W] of `rows` as predictors see them."""
    return (images.view(part, None, recipe.channels_last) for part in parts(rows))


def predict(model: nn.Module, images: DeviceImages, rows: Tensor, recipe: Recipe) -> dict[str, Tensor]:
    """Logits float32 [n, classes] by predictor name for `rows` of a split, in eval mode; the mode is put back."""
    with eval_mode(model):
        chunks = [_forward(model, batch, recipe) for batch in batches(images, rows, recipe)]
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}


def predict_together(
    trainees: Sequence[Trainee], images: DeviceImages, rows: Tensor
) -> list[dict[str, Tensor] | Exception]:
    """`predict` for each trainee's predictor, each batch of images made once. What one raises stands in its place."""
    chunks: list[list[dict[str, Tensor]] | Exception] = [[] for _ in trainees]
    for part in parts(rows):
        prepared: dict[bool, Tensor] = {}
        for k, trainee in enumerate(trainees):
            layout = trainee.recipe.channels_last
            if layout not in prepared:
                prepared[layout] = images.view(part, None, layout)
            held = chunks[k]
            if isinstance(held, list):
                try:
                    with trainee.evaluated() as predictor:
                        held.append(_forward(predictor, prepared[layout], trainee.recipe))
                except Exception as error:  # noqa: BLE001 - a plugin's predictor may raise anything; the others go on
                    chunks[k] = error
    return [c if isinstance(c, Exception) else {name: torch.cat([p[name] for p in c]) for name in c[0]} for c in chunks]


def parts(rows: Tensor) -> list[Tensor]:
    """What holds a number per row, in pieces of the size of a batch."""
    return list(rows.split(batch_size_of(rows.device)))


def _forward(model: nn.Module, images: Tensor, recipe: Recipe) -> dict[str, Tensor]:
    with torch.no_grad(), autocast(images.device, recipe):
        outputs = named(model(images))
    for name, logits in outputs.items():
        if logits.ndim != 2 or len(logits) != len(images):
            shape = list(logits.shape)
            raise CellError("MethodError", f"predictor output '{name}' has shape {shape} for {len(images)} images")
    return outputs

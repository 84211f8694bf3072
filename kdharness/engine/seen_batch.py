"""A batch as one cell's method sees it, and as its transform makes it before any network sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kdharness.api.declarations import Reads, View
from kdharness.api.labels import TaskLoss
from kdharness.api.method import Method
from kdharness.api.prepared import share
from kdharness.api.step import Batch, StepInfo
from kdharness.data.batches import Samples
from kdharness.data.views import ViewKey
from kdharness.device.device import Device
from kdharness.device.random import default_generators_kept
from kdharness.device.torch_settings import settings_kept
from kdharness.engine.transform_checks import check_forms, check_values
from kdharness.errors import CellError
from kdharness.protocol.recipe import Recipe

# A view as a method declares it, and what the pass calls it.
SeenView = tuple[View, ViewKey]


def batch_of(samples: Samples, info: StepInfo, reads: Reads, views: Sequence[SeenView], recipe: Recipe) -> Batch:
    """What a method declared of the samples. recipe: of the phase."""
    first = next(key for view, key in views if view.student)
    return Batch(
        images=samples.view(first),
        targets=samples.targets,
        step=info,
        views=tuple(samples.view(key) for _, key in views),
        indices=samples.indices if reads.indices else None,
        partners=samples.partners(first) if reads.partners == "same_class" else None,
        soft_targets=samples.soft_targets,
        mixing=samples.mixing,
        criterion=TaskLoss(recipe.loss, recipe.label_smoothing),
    )


def transforms(method: Method) -> bool:
    """Whether the method has a transform of its own."""
    return type(method).transform is not Method.transform


def transformed(
    method: Method,
    batch: Batch,
    samples: Samples,
    views: Sequence[SeenView],
    seed: int,
    device: Device,
    num_classes: int | None = None,
) -> Samples:
    """What the method makes of a batch, to be read like the samples that the batch is of.

    seed: of all that is drawn, from the default generators too. num_classes: given where also values are to be looked
    at, which waits for the device.
    """
    random = device.random_state(seed)
    with settings_kept(), default_generators_kept(device.default_generators()), random.active(), torch.no_grad():
        made = _checked(method.transform(batch, torch.Generator().manual_seed(seed)), batch)
    if num_classes is not None:
        check_values(made, num_classes)
    pixels = {key: _shared(*pair) for (_, key), *pair in zip(views, made.views, batch.views, strict=True)}

    def make(key: ViewKey, partners: bool) -> Tensor:
        if not partners:
            return pixels[key]
        assert made.partners is not None  # nobody asks for partners that it does not declare
        return made.partners

    indices = samples.indices if made.indices is None else made.indices
    return Samples(made.targets, indices, make, samples.shelf.ledger, made.mixing, made.soft_targets)


def _shared(made: Tensor, given: Tensor) -> Tensor:
    """The pixels of a view, whose preprocessing is remembered as that of other views is."""
    return made if made is given else share(made)


def _checked(made: Batch, given: Batch) -> Batch:
    """CellError for what is no batch. `images` that are new stand in the place of the view that they were."""
    if not isinstance(made, Batch):
        raise CellError("MethodError", f"transform() must return a Batch, got {type(made).__name__}")
    views = list(made.views)
    if len(views) != len(given.views):
        raise CellError("MethodError", f"transform() must keep the {len(given.views)} views, got {len(views)}")
    first = next(number for number, view in enumerate(given.views) if view is given.images)
    if made.images is not given.images:
        views[first] = made.images
    count = len(made.targets)
    parts: dict[str, Tensor | None] = {f"views[{number}]": view for number, view in enumerate(views)}
    parts |= {"indices": made.indices, "partners": made.partners, "soft_targets": made.soft_targets}
    for name, part in parts.items():
        if part is not None and len(part) != count:
            raise CellError("MethodError", f"transform() gives {count} targets and {len(part)} rows of {name}")
    whole = replace(made, images=views[first], views=tuple(views))
    check_forms(whole, given)
    return whole

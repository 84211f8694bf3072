"""ImageNet (ILSVRC 2012), as a name for protocols: it cannot be trained on yet.

Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015. Its 1,281,167 training images are
some 190 GB as pixels of 224x224. Datasets here are held in memory; until images can be streamed from the disk, a plan
says so. A part of it fits: `imagefolder` with a size and some classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from kdharness.api import DataRequest, DatasetMissing, DatasetSpec, hookimpl

NAME = "imagenet"
REASON = (
    f"{NAME}: waits for images that are streamed from the disk; its 1.28 million training images do not fit into "
    "memory as pixels. A part does: --datasets imagefolder with --set imagefolder.size=224 and imagefolder.classes=..."
)


def refuse(request: DataRequest) -> NoReturn:
    raise DatasetMissing(REASON)


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    yield DatasetSpec(
        name=NAME,
        describe=refuse,
        load=refuse,
        summary="ImageNet, 1,000 classes: waits for streamed images, and says so",
        paper="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015",
        revision=1,
    )

"""Networks that see images of 224x224 whatever the size of the dataset's, as protocols across architectures have it.

Hao et al., "One-for-All", NeurIPS 2023, and tiny-transformers (Li et al., "Locality Guidance for Improving Vision
Transformers on Tiny Datasets", ECCV 2022) train on CIFAR-100 at 224x224. Images are resized, bilinearly, and
normalised by ImageNet's mean and deviation behind the views: a view draws its crop at the dataset's own size. So a
teacher that is not here sees images of 32x32 while its student sees them at 224.

vit_tiny_224 and deit_tiny_224 are DeiT-Ti without and with a distillation token (patches of 16x16); the others are
torchvision's. Swin's stages have their channels last, and are not declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from kdharness.api import ModelSpec, Preprocessing, Tokens, hookimpl

from .torchvision_models import PARTS, Parts, build
from .vit import STAGES, VisionTransformer, parameters

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGE = Preprocessing(MEAN, STD, (224, 224))

# DeiT-Ti: pixels along a patch, width, blocks, heads.
PATCH, WIDTH, DEPTH, HEADS = 16, 192, 12, 3

TORCHVISION = {
    "resnet18": PARTS["resnet18"],
    "mobilenet_v2": PARTS["mobilenet_v2"],
    "convnext_tiny": PARTS["convnext_tiny"],
    "swin_t": Parts("head"),
}


def transformer(distilled: bool) -> ModelSpec:
    extra = ", with a distillation token" if distilled else ""
    return ModelSpec(
        name=f"{'deit' if distilled else 'vit'}_tiny_224",
        factory=partial(VisionTransformer, patch=PATCH, width=WIDTH, depth=DEPTH, heads=HEADS, distilled=distilled),
        summary=f"DeiT-Ti at 224x224, patches of 16x16{extra}",
        stem="patches",
        stages=tuple(f"stage{number}" for number in range(1, STAGES + 1)),
        classifier="head",
        tokens=Tokens(prefix=2 if distilled else 1),
        parameters=parameters(WIDTH, DEPTH),
        paper="Touvron et al., Training data-efficient image transformers & distillation through attention, ICML 2021",
        revision=1,
    )


def of_torchvision(name: str, parts: Parts) -> ModelSpec:
    return ModelSpec(
        name=f"{name}_224",
        factory=partial(build, name=name),
        summary=f"torchvision's {name} at 224x224",
        stem=parts.stem,
        stages=parts.stages,
        pre_activations=parts.pre_activations,
        norms=parts.norms,
        classifier=parts.classifier,
        revision=1,
    )


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    specs = [transformer(distilled) for distilled in (False, True)]
    specs += [of_torchvision(name, parts) for name, parts in TORCHVISION.items()]
    return [replace(spec, preprocessing=LARGE) for spec in specs]

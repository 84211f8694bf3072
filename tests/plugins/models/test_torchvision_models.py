"""torchvision's networks: every row of the table builds and has the parts it declares."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from kdharness_plugins.models import torchvision_models

from kdharness.api import ModelSpec, StagedModel
from kdharness.planning.compatibility import unlike_outputs

SPECS = {spec.name: spec for spec in torchvision_models.kdharness_models()}


def on_meta(spec: ModelSpec, shape: tuple[int, int, int]) -> StagedModel:
    with torch.device("meta"):
        return StagedModel(spec.factory(7, shape), spec, shape)


@pytest.mark.parametrize("name", SPECS)
def test_declared_parts_exist(name: str) -> None:
    model = on_meta(SPECS[name], (3, 64, 64))
    assert all(parameter.is_meta for parameter in model.parameters())
    outputs = model.run(torch.empty(2, 3, 64, 64, device="meta"), taps=("stages", "pre_activations", "embedding"))
    assert outputs.logits.shape == (2, 7)
    assert model.classifier.in_features == outputs.embedding.shape[1]
    sizes = [stage.shape[-1] for stage in outputs.stages]
    one_per_resolution = sorted(set(sizes), reverse=True)
    assert sizes == (4 * one_per_resolution if SPECS[name].tokens else one_per_resolution), "stages are shallow to deep"
    assert all(stage.ndim == 4 for stage in outputs.stages)
    if SPECS[name].pre_activations:
        assert [p.shape for p in outputs.pre_activations] == [s.shape for s in outputs.stages]
        assert [norm.num_features for norm in model.norms] == [s.shape[1] for s in outputs.stages]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision_resnet18", [(64, 16), (128, 8), (256, 4), (512, 2)]),
        ("torchvision_mobilenet_v2", [(24, 16), (32, 8), (96, 4), (1280, 2)]),
        ("torchvision_vgg11_bn", [(64, 64), (128, 32), (256, 16), (512, 8), (512, 4)]),
        ("torchvision_vit_b_16", [(768, 4)] * 4),
    ],
)
def test_stage_shapes(name: str, expected: list[tuple[int, int]]) -> None:
    stages = on_meta(SPECS[name], (3, 64, 64)).run(torch.empty(1, 3, 64, 64, device="meta"), taps=("stages",)).stages
    assert [(stage.shape[1], stage.shape[2]) for stage in stages] == expected


def test_auxiliary_classifiers_are_outputs_of_train_mode() -> None:
    """GoogLeNet returns a named tuple in train mode, and a tensor in eval mode."""
    from torchvision.models import googlenet

    def made(*auxiliary: str) -> StagedModel:
        with torch.device("meta"):
            network = googlenet(num_classes=7, init_weights=False)
            spec = ModelSpec("aided", lambda c, s: network, auxiliary=auxiliary)
            return StagedModel(network, spec, (3, 64, 64))

    model = made("aux_logits1", "aux_logits2")
    assert unlike_outputs(model, 7) == ""
    outputs = model.train().run(torch.empty(2, 3, 64, 64, device="meta"))
    assert outputs.logits.shape == (2, 7)
    assert {name: tuple(value.shape) for name, value in outputs.named.items()} == {
        "aux_logits1": (2, 7),
        "aux_logits2": (2, 7),
    }
    assert model.eval().run(torch.empty(2, 3, 64, 64, device="meta")).named == {}
    fault = "model 'aided' returns other outputs in train mode (aux_logits2, logits) than in eval mode (logits): "
    assert unlike_outputs(made("aux_logits1"), 7).startswith(fault)


@pytest.mark.parametrize("name", ["torchvision_resnet18", "torchvision_regnet_y_400mf"])
def test_pre_activations_are_what_the_last_relu_gets(name: str) -> None:
    model = StagedModel(SPECS[name].factory(7, (3, 32, 32)), SPECS[name], (3, 32, 32)).eval()
    outputs = model.run(torch.randn(2, 3, 32, 32), taps=("stages", "pre_activations"))
    for before, after in zip(outputs.pre_activations, outputs.stages, strict=True):
        assert (before < 0).any()
        torch.testing.assert_close(before.relu(), after, rtol=0, atol=0)


def test_vgg_pre_activations_come_from_the_declared_norms() -> None:
    for name in ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"):
        model = on_meta(SPECS[f"torchvision_{name}"], (3, 32, 32))
        assert all(isinstance(stage, torch.nn.ReLU) for stage in model.stages)
        assert all(isinstance(norm, torch.nn.BatchNorm2d) for norm in model.norms)
        after = [model.part(f"features.{int(path.split('.')[1]) + 1}") for path in model.spec.stages]
        assert all(isinstance(module, torch.nn.MaxPool2d) for module in after)


def test_grey_images_narrow_the_stem() -> None:
    network = SPECS["torchvision_resnet18"].factory(7, (1, 32, 32)).eval()
    assert network.conv1.weight.shape == (64, 1, 7, 7)
    assert network(torch.randn(1, 1, 32, 32)).shape == (1, 7)


def test_more_than_three_channels_are_refused() -> None:
    with torch.device("meta"), pytest.raises(ValueError, match="at most 3 channels, the dataset has 4"):
        SPECS["torchvision_resnet18"].factory(7, (4, 32, 32))


def test_vit_refuses_images_it_cannot_cut() -> None:
    with pytest.raises(ValueError, match="torchvision_vit_b_16 takes square images"):
        SPECS["torchvision_vit_b_16"].factory(7, (3, 28, 28))


def test_listing_does_not_import_torchvision() -> None:
    code = (
        "import sys; from kdharness_plugins.models import kdharness_models; assert list(kdharness_models());"
        "assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, kdharness_plugins.models; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

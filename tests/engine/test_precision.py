"""Every network of a cell runs in the cell's precision and layout, whoever runs it."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kdharness.api.staged import Placement, StagedModel, full_precision


class Convolutions(TorchDispatchMode):
    """Notes the type and the layout of what every convolution reads."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()
        self.channels_last: set[bool] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket is torch.ops.aten.convolution:
            image, weight = args[:2]
            self.types |= {image.dtype, weight.dtype}
            if image.shape[1] > 1 and image.shape[2] > 1:  # else every layout is both
                self.channels_last.add(image.is_contiguous(memory_format=torch.channels_last))
        return func(*args, **(kwargs or {}))


# What runs networks itself: peers, several teachers and their discriminators, a student anew.
RUNNERS = ("vanilla", "kd", "dml.updates=together", "dml.peers=2", "meal.adv_mode=alternate", "rona")


@pytest.mark.parametrize("what", RUNNERS)
def test_no_convolution_is_of_another_precision(lab, what):
    method, _, setting = what.partition(".")
    settings = (f"{method}.{setting}",) if setting else ()
    own = ("split10",) if method == "rona" else ("few100",)
    plan = lab.plan(methods=(method,), scenarios=own, settings=("recipe.precision=bf16", *settings), epochs=1)
    with Convolutions() as seen:
        records = lab.train_plan(plan)
    assert {r.status.value for r in records.values()} == {"ok"}, [r.traceback for r in records.values()]
    assert seen.types == {torch.bfloat16}


def test_gradients_of_single_samples_are_of_full_precision(lab):
    settings = ("recipe.precision=bf16", "rona.mechanism=gradient")
    plan = lab.plan(methods=("rona",), scenarios=("split10",), settings=settings, epochs=1)
    with Convolutions() as seen:
        records = lab.train_plan(plan)
    assert {r.status.value for r in records.values()} == {"ok"}, [r.traceback for r in records.values()]
    assert seen.types == {torch.bfloat16, torch.float32}


def test_layout_reaches_the_networks_that_a_method_makes(lab):
    plan = lab.plan(methods=("dml",), scenarios=("few100",), settings=("recipe.channels_last=true",), epochs=1)
    with Convolutions() as seen:
        records = lab.train_plan(plan)
    assert {r.status.value for r in records.values()} == {"ok"}
    assert seen.channels_last == {True}


def test_full_precision_is_for_a_while(placed):
    images = torch.randn(4, 1, 8, 8)
    with Convolutions() as seen, full_precision(torch.nn.ModuleList([placed])):
        placed(images)
    assert seen.types == {torch.float32}
    with Convolutions() as seen:
        placed(images)
    assert seen.types == {torch.bfloat16}


@pytest.fixture
def placed(registry):
    spec = registry.get("model", "conv8").spec
    return StagedModel(spec.factory(10, (1, 8, 8)), spec, (1, 8, 8)).place(Placement("bf16"))


def test_all_doors_of_a_network_give_float32(placed):
    images = torch.randn(4, 1, 8, 8)
    outputs = placed.run(images, ("stages", "pre_activations", "embedding"))
    found = [outputs.logits, *outputs.stages, *outputs.pre_activations, outputs.embedding, placed(images)]
    found += [placed.trunk(0, images), placed.head(outputs.stages[-1]), placed.tail(0, outputs.stages[0])]
    with Convolutions() as seen:
        placed.tail(0, outputs.stages[0])
    assert {tensor.dtype for tensor in found} == {torch.float32}
    assert seen.types == {torch.bfloat16}


def test_all_doors_of_a_network_of_tokens_give_float32(registry):
    spec = registry.get("model", "deit_micro_p2").spec
    network = StagedModel(spec.factory(10, (1, 8, 8)), spec, (1, 8, 8)).place(Placement("bf16", channels_last=True))
    images = torch.randn(4, 1, 8, 8)
    outputs = network.run(images, ("stem", "stages", "tokens", "embedding"), ("stage2.0.attention.softmax",))
    found = [outputs.logits, *outputs.named.values(), outputs.stem, *outputs.stages, outputs.tokens(1)]
    found += [outputs.embedding, outputs.module("stage2.0.attention.softmax"), network.trunk(0, images)]
    found += [network.head(outputs.tokens(-1)), network.tail(0, outputs.tokens(0), "frozen")]
    assert {tensor.dtype for tensor in found} == {torch.float32}


def test_a_part_is_found_by_its_path(placed):
    assert placed.part("") is placed.network
    assert placed.part(placed.spec.stages[0]) is placed.network.get_submodule(placed.spec.stages[0])
    with pytest.raises(ValueError, match=r"declares 'stage1\.nowhere', but has no such submodule"):
        placed.part("stage1.nowhere")

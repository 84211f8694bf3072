"""Files as the field's scripts write them, and what is said of those that are not read."""

from __future__ import annotations

import argparse
import datetime
import pathlib
import sys
import types
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdharness.api.declarations import ModelSpec
from kdharness.api.preprocessing import Preprocessing
from kdharness.api.staged import StagedModel
from kdharness.errors import UserError
from kdharness.weights.fitting import check_fit, fill
from kdharness.weights.reading import load_weights


class Net(nn.Module):
    """With a module called "model" of its own, whose name is no prefix."""

    def __init__(self, num_classes: int = 3, width: int = 4) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width))
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images):
        return self.fc(self.model(images).mean((2, 3)))


def staged(device: str = "cpu", **sizes: int) -> StagedModel:
    with torch.device(device):
        net = Net(**sizes)
    return StagedModel(net, ModelSpec("net", Net, classifier="fc"), (1, 8, 8), Preprocessing())


def weights(seed: int = 0, **sizes: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {name: torch.randn_like(t.float()).to(t.dtype) for name, t in Net(**sizes).state_dict().items()}


W, OTHER = weights(), weights(1)


def under(prefix: str, tensors=W):
    return {prefix + name: tensor for name, tensor in tensors.items()}


NAMESPACE = argparse.Namespace(lr=0.1, path=pathlib.Path("/data"), milestones=[1, 2], best=np.float64(91.5), seed=None)

AVERAGED = {"n_averaged": torch.tensor(3)}

FILES = {
    "RepDistiller's teacher": {"epoch": 240, "model": W, "best_acc": np.float32(75.6), "optimizer": {"state": {}}},
    "RepDistiller's student": {"opt": NAMESPACE, "model": W},
    "mdistiller's teacher": {"model": under("module."), "epoch": 240, "best_acc": 76.1, "optimizer": {}},
    "mdistiller's latest": {"model": under("module.teacher.") | under("module.student.", weights(2, width=5))},
    "torchdistill": {"model": W, "best_value": np.float64(71), "config": {"a": [1]}, "args": NAMESPACE},
    "timm": {"epoch": 3, "arch": "net", "state_dict": W, "state_dict_ema": OTHER, "args": NAMESPACE, "metric": 71.2},
    "torchvision": {
        "model": W,
        "model_ema": AVERAGED | under("module.", OTHER),
        "args": NAMESPACE,
    },
    "an average alone": {"epoch": 1, "model_ema": AVERAGED | under("module.")},
    "state_dict_ema alone": {"state_dict_ema": W},
    "net": {"net": under("module."), "acc": 93.1, "epoch": 3},
    "model_state_dict": {"model_state_dict": W, "loss": torch.tensor(0.1)},
    "student": {"student": W},
    "teacher beside a student": {"student": OTHER, "teacher": W},
    "a student of another size": {"model": weights(width=5), "teacher": W},
    "another key": {"backbone_weights": W, "hyper": {"lr": 1.0}},
    "compiled": under("_orig_mod."),
    "compiled, then parallel": under("module._orig_mod."),
    "parallel, then compiled": under("_orig_mod.module."),
    "a module of a trainer": under("model."),
    "all of them": {"state_dict": under("model._orig_mod.module.")},
    "only parts compiled": {name.replace("model.", "model._orig_mod."): t for name, t in W.items()},
    "counted": W | {"total_ops": torch.zeros(1), "fc.total_params": torch.zeros(1)},
    "ordered": OrderedDict(W),
    "parameters": {name: nn.Parameter(t) if t.is_floating_point() else t for name, t in W.items()},
    "half precision": {name: t.half() if t.is_floating_point() else t for name, t in W.items()},
    "NumPy beside": {"model": W, "curve": np.arange(3.0), "rng": defaultdict(list, a=[1]), "kind": np.dtype("f4")},
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_what_the_fields_scripts_write_is_read(tmp_path: Path, name: str, zipped: bool) -> None:
    torch.save(FILES[name], tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    model = staged()
    fill(model, load_weights(tmp_path / "file.pth"))
    for key, tensor in model.network.state_dict().items():
        expected = W[key].half() if name == "half precision" and tensor.is_floating_point() else W[key]
        assert torch.equal(tensor, expected.to(tensor.dtype)), key


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "_orig_mod.module.", "model.module._orig_mod.", "student."]
)
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_prefixes_are_taken_off_in_every_format(tmp_path: Path, prefix: str, suffix: str) -> None:
    """And a safetensors file is known by its content, whatever it is called."""
    save_file(under(prefix), tmp_path / f"file{suffix}")
    model = staged()
    fill(model, load_weights(tmp_path / f"file{suffix}"))
    assert all(torch.equal(tensor, W[key]) for key, tensor in model.network.state_dict().items())


class Options:
    """A class of somebody's script."""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"model": W, "opt": Options()},
            "it holds an object of 'test_layouts.Options', which only code could make; save",
        ),
        (Net(), "it holds an object of 'test_layouts.Net', which only code could make; save model.state_dict() alone"),
        ({"model": W, "args": argparse.Namespace(f=print)}, "it holds an object of 'print'"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_refused_is_named(tmp_path: Path, content: object, says: str, zipped: bool) -> None:
    path = tmp_path / "file.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError) as caught:
        load_weights(path)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()
    assert "weights_only" not in str(caught.value)


def test_a_program_is_no_file_of_weights(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(Net().eval(), torch.zeros(1, 1, 8, 8)), tmp_path / "net.pt")
    with pytest.raises(UserError, match=r"it is a TorchScript program; save model\.state_dict\(\) alone"):
        load_weights(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"net": under("module.") | {"module.more": torch.zeros(1)}}, "'more' is not part of it"),
        ({"model": {k: v for k, v in under("module.").items() if "fc" not in k}}, "it lacks 'fc.bias' and 1 more"),
        (weights(num_classes=7), "'fc.weight' is [7, 4], not [3, 4] and 1 more"),
        (W | {"module.fc.bias": OTHER["fc.bias"]}, "'fc.bias' is there twice"),
        (W | {"fc.bias": torch.zeros(3).to_sparse()}, "'fc.bias' is sparse, quantised or complex"),
        (W | {"fc.bias": torch.zeros(3, device="meta")}, "'fc.bias' has no values"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_does_not_fit_is_named_with_what_was_found(
    tmp_path: Path, content: object, says: str, device: str
) -> None:
    path = tmp_path / "file.pth"
    torch.save(content, path)
    with pytest.raises(UserError) as caught:
        check_fit(staged(device), load_weights(path))
    assert str(caught.value).startswith(f"teacher file {path} does not fit model 'net': ")
    assert says in str(caught.value)
    assert str(caught.value).endswith("save model.state_dict() alone of this very model")


def test_places_and_prefixes_that_were_found_are_said(tmp_path: Path) -> None:
    torch.save({"state_dict": under("module.") | {"module.more": torch.zeros(1)}}, tmp_path / "file.pth")
    with pytest.raises(UserError) as caught:
        fill(staged(), load_weights(tmp_path / "file.pth"))
    found = "found under 'state_dict', names such as 'module.model.0.weight' ('module.' taken off), 9 of 9"
    assert f"{found} that the model has" in str(caught.value)


def configuration(monkeypatch: pytest.MonkeyPatch, name: str) -> dict[str, object]:
    """A configuration of a class of that name, with attributes beside its items, as its library writes it."""
    module, _, kind = name.rpartition(".")
    made = type(kind, (dict,), {"__module__": module, "__setstate__": lambda self, state: pytest.fail("it ran")})
    for end in range(module.count(".") + 1):
        place = module.rsplit(".", end)[0]
        monkeypatch.setitem(sys.modules, place, types.ModuleType(place))
    setattr(sys.modules[module], kind, made)
    found: dict[str, object] = made(lr=0.1, data=made(name="cifar100"))
    found.__dict__["frozen"] = {"a", "b"}
    return found


@pytest.mark.parametrize(
    "name",
    ["yacs.config.CfgNode", "easydict.EasyDict", "addict.addict.Dict", "mmengine.config.config.ConfigDict",
     "omegaconf.dictconfig.DictConfig"],
)  # fmt: skip
@pytest.mark.parametrize("zipped", [True, False])
def test_configurations_beside_weights_are_read_without_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, zipped: bool
) -> None:
    path, state = tmp_path / "weights.pt", Net().state_dict()
    content = {"cfg": configuration(monkeypatch, name), "state_dict": state}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.undo()
    found = load_weights(path).found
    assert [each.place for each in found] == ["state_dict"]
    assert all(torch.equal(tensor, state[key]) for key, tensor in found[0].tensors.items())


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2025, 1, 31, 12, tzinfo=datetime.UTC),
        datetime.date(2025, 1, 31),
        datetime.timedelta(hours=3),
        frozenset({1}),
        types.SimpleNamespace(lr=0.1),
        Counter("abc"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_of_the_standard_library_are_read(tmp_path: Path, value: object) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"model": Net().state_dict(), "made": value}, path)
    assert [each.place for each in load_weights(path).found] == ["model"]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_protocol_that_is_not_read_is_named_with_what_to_do(tmp_path: Path, protocol: int, zipped: bool) -> None:
    path = tmp_path / "weights.pt"
    content = {"model": Net().state_dict(), "bytes": b"x"}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError) as error:
        load_weights(path)
    assert f"it was pickled by protocol {protocol}, which is not read without running code; load it" in str(error.value)
    assert "torch.save its model.state_dict()" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_whole_network_is_refused_by_its_class(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(Net(), path)
    with pytest.raises(UserError, match=r"an object of '[\w.]*Net', which only code could make; save model.state_dict"):
        load_weights(path)

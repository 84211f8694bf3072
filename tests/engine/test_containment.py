"""A method may fail wherever its code is called: its own cell ends by it, and nothing else does."""

from __future__ import annotations

import os

import pytest

from kdharness.device import torch_settings
from kdharness.errors import DeviceLost
from kdharness.results.record import Status

FAULTY = '''
import builtins
import locale
import math
import os
import signal
import sys
import time
import warnings
import numpy
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Phase, Reads, hookimpl

KEPT = []

class Functions(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))

def wrong(*args, **options):
    return torch.zeros((), requires_grad=True)

def lower_limits():
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

SWITCHES = {
    "mkldnn": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "cudnn": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "attention": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "autocast": lambda: torch.autocast("cpu").__enter__(),
    "autocast_dtype": lambda: torch.set_autocast_dtype("cpu", torch.float16),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "inference": lambda: KEPT.append(torch.inference_mode()) or KEPT[0].__enter__(),
    "einsum": lambda: setattr(torch.backends.opt_einsum, "enabled", False),
    "matmul": lambda: torch.set_float32_matmul_precision("medium"),
    "functional": lambda: setattr(F, "kl_div", wrong),
    "torch_function": lambda: setattr(torch, "softmax", wrong),
    "tensor_method": lambda: setattr(torch.Tensor, "argmax", wrong),
    "layer": lambda: setattr(nn.Linear, "forward", wrong),
    "optimizer": lambda: setattr(torch.optim.SGD, "step", wrong),
    "inside": lambda: setattr(F.kl_div, "__code__", wrong.__code__),
    "ours": lambda: setattr(sys.modules["kdharness.measure.evaluate"], "top1", lambda *a: 99.0),
    "math": lambda: setattr(math, "cos", wrong),
    "numpy_function": lambda: setattr(numpy, "mean", wrong),
    "numpy_ufunc": lambda: setattr(numpy, "exp", wrong),
    "builtin": lambda: setattr(builtins, "max", wrong),
    "clock": lambda: setattr(time, "monotonic", lambda: 0.0),
    "saving": lambda: setattr(safetensors.torch, "save_file", lambda *a, **k: None),
    "linalg": lambda: setattr(torch.linalg, "vector_norm", wrong),
    "hook": lambda: torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: None),
    "functions": lambda: KEPT.append(Functions()) or KEPT[-1].__enter__(),
    "saved": lambda: torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x).__enter__(),
    "denormal": lambda: torch.set_flush_denormal(True),
    "numpy_errors": lambda: numpy.seterr(all="raise"),
    "folder": lambda: os.chdir("/"),
    "umask": lambda: os.umask(0o777),
    "limit": lambda: lower_limits(),
    "variables": os.environ.clear,
    "path": lambda: sys.path.insert(0, "/nowhere"),
    "signals": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "warnings": lambda: warnings.simplefilter("error"),
    "descriptor": lambda: os.close(1),
    "stream": lambda: setattr(sys, "stdout", None),
    "recursion": lambda: sys.setrecursionlimit(sys.getrecursionlimit() - 10),
    "module": lambda: sys.modules.pop("kdharness.results.record"),
    "built_in": lambda: setattr(sys.modules["kdharness_plugins.methods.kd"].KD, "losses", wrong),
}

class Own(BaseException):
    def __str__(self):
        raise RuntimeError("no text")

RAISED = {"exit": SystemExit(3), "own": Own(), "plain": ValueError("it broke")}

class Predictor(nn.Module):
    def __init__(self, student, kind):
        super().__init__()
        self.student, self.kind = student, kind

    def __call__(self, images):
        self.raises("call")
        return super().__call__(images)

    def eval(self):
        self.raises("eval")
        return super().eval()

    def raises(self, place):
        what, _, how = self.kind.partition(":")
        if what == place:
            raise RAISED[how]

    def forward(self, images):
        logits = self.student(images)
        if self.kind == "forward":
            raise ValueError("forward broke")
        if self.kind == "type":
            return [logits]
        if self.kind == "rows":
            return logits[:-1]
        if self.kind == "nothing":
            return {}
        if self.kind == "names":
            self.batches = getattr(self, "batches", 0) + 1
            return {f"head{self.batches}": logits}
        if self.kind == "widths":
            self.batches = getattr(self, "batches", 0) + 1
            return logits[:, : 8 + self.batches % 2]
        if self.kind == "nan_outputs":
            return logits * float("nan")
        return logits

class Faulty(Method):
    """Breaks at `kind`."""
    name = "faulty"
    reads = Reads(teachers="none")
    kind: str = "none"

    def at(self, place):
        if self.kind == place:
            raise ValueError(f"{place} broke")

    def build(self, context):
        self.at("build")

    def train(self, mode=True):
        # First by before_epoch, then by the evaluation.
        self.switched = getattr(self, "switched", 0) + 1
        what, _, how = self.kind.partition(":")
        if what == "train" and mode and self.switched > 2:
            raise RAISED[how]
        return super().train(mode)

    def state_dict(self, *args, **options):
        what, _, how = self.kind.partition(":")
        if what == "state_dict":
            raise RAISED[how]
        return super().state_dict(*args, **options)

    def phases(self):
        self.at("phases")
        return [Phase()]

    def select(self, epoch):
        self.at("select")

    def before_epoch(self, epoch):
        self.at("before_epoch")

    def losses(self, batch, student, teacher):
        self.at("losses")
        if self.kind == "exit":
            sys.exit(3)
        if self.kind == "list":
            return [F.cross_entropy(student.logits, batch.targets)]
        if self.kind == "float":
            return {"ce": 3.0}
        if self.kind == "threads":
            torch.set_num_threads(2)
        if self.kind == "device":
            torch.set_default_device("meta")
        if self.kind == "gradients":
            torch.set_grad_enabled(False)
        if self.kind == "dtype":
            torch.set_default_dtype(torch.float64)
        if self.kind in SWITCHES:
            SWITCHES[self.kind]()
        if self.kind.startswith("late_") and batch.step.epoch >= 3:
            SWITCHES[self.kind.removeprefix("late_")]()
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

    def update(self, step):
        self.at("update")
        super().update(step)

    def after_step(self, batch, student, teacher):
        self.at("after_step")

    def after_epoch(self, epoch):
        self.at("after_epoch")

    def predictor(self, student, teachers):
        self.at("predictor")
        return Predictor(student, self.kind)

    def deployables(self, student, teachers):
        self.at("deployables")
        return {}

    def measurements(self):
        self.at("measurements")
        return {"x": "many"} if self.kind == "measured" else {}

    def curves(self):
        self.at("curves")
        return {}

    def get_extra_state(self):
        self.at("state")
        return (lambda: 0) if self.kind == "pickle" else {}

    def set_extra_state(self, state):
        pass

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Faulty)]
'''

PLACES = (
    "build", "phases", "select", "before_epoch", "losses", "update", "after_step", "after_epoch", "predictor",
    "forward", "deployables", "measurements", "curves", "state",
)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    from kdharness.testing import Lab

    lab = Lab(tmp_path_factory.mktemp("undisturbed") / "lab")
    (cell,) = (p.cell for p in lab.plan(methods=("vanilla",), scenarios=("few100",)).cells)
    lab.train([cell])
    return cell, lab.bits(cell.key)


def train_beside(undisturbed, make_lab, tmp_path, kind: str, **rest: object):
    """The faulty cell's record, after it was trained behind a cell that does nothing wrong."""
    neighbour, bits = undisturbed
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    lab = make_lab(plugin_files=(file,), **rest)
    plan = lab.plan(methods=("faulty",), settings=(f"faulty.kind={kind}",), scenarios=("few100",))
    (cell,) = (p.cell for p in plan.cells)
    records = lab.train([neighbour, cell])
    assert records[neighbour.key].status is Status.OK, records[neighbour.key].traceback
    assert lab.bits(neighbour.key) == bits
    return records[cell.key]


def test_without_a_fault_it_trains(undisturbed, make_lab, tmp_path):
    assert train_beside(undisturbed, make_lab, tmp_path, "none", checkpoint_seconds=0.0).status is Status.OK


@pytest.mark.parametrize("place", PLACES)
def test_an_exception_at_any_place_is_the_cells_own(undisturbed, make_lab, tmp_path, place):
    record = train_beside(undisturbed, make_lab, tmp_path, place, checkpoint_seconds=0.0)
    assert record.status is Status.FAILED
    assert record.error_type == "ValueError"
    assert record.error_message == f"{place} broke"
    assert "faulty.py" in record.traceback


@pytest.mark.parametrize(
    ("kind", "error_type", "says"),
    [
        ("exit", "SystemExit", "sys.exit(3)"),
        ("list", "MethodError", "losses() must return a dict of named terms, got list"),
        ("float", "MethodError", "losses()['ce'] must be a scalar tensor, got float"),
        ("type", "TypeError", "predictor() must give logits or a dict of them, got list"),
        ("nothing", "MethodError", "predictor() gives a dict without any logits"),
        ("names", "MethodError", "outputs of other names or widths for one batch than another"),
        ("widths", "MethodError", "outputs of other names or widths for one batch than another"),
        ("nan_outputs", "NonFiniteOutput", "the logits of predictor 'logits' on the test split are not finite"),
        ("measured", "ValueError", "could not convert string to float"),
        ("pickle", "MethodError", "its state cannot be saved"),
        ("dtype", "SharedStateChanged", "it changed torch's default dtype, which other cells share"),
        ("device", "SharedStateChanged", "it changed torch's default device, which other cells share"),
        ("gradients", "SharedStateChanged", "it changed whether torch records gradients, which other cells share"),
        ("threads", "SharedStateChanged", "it changed torch's number of threads, which other cells share"),
    ],
)
def test_what_is_wrong_is_told(undisturbed, make_lab, tmp_path, kind, error_type, says):
    record = train_beside(undisturbed, make_lab, tmp_path, kind, checkpoint_seconds=0.0)
    assert record.status is Status.FAILED
    assert record.error_type == error_type
    assert says in record.error_message


@pytest.mark.parametrize("place", ["train", "eval", "call", "state_dict"])
@pytest.mark.parametrize(
    ("how", "error_type", "says"),
    [
        ("exit", "SystemExit", "it called sys.exit(3)"),
        ("own", "Own", "it raised Own: its message cannot be read"),
        ("plain", "ValueError", "it broke"),
    ],
)
def test_what_a_network_raises_where_cells_are_evaluated_together_is_its_own(
    undisturbed, make_lab, tmp_path, place, how, error_type, says
):
    record = train_beside(undisturbed, make_lab, tmp_path, f"{place}:{how}", checkpoint_seconds=0.0)
    assert (record.status, record.error_type, record.error_message) == (Status.FAILED, error_type, says)


def test_outputs_for_fewer_images_than_asked(undisturbed, make_lab, tmp_path):
    record = train_beside(undisturbed, make_lab, tmp_path, "rows")
    assert record.error_type == "MethodError"
    assert record.error_message == "predictor output 'logits' has shape [127, 10] for 128 images"


def test_a_checkpoint_of_another_form_counts_as_none(undisturbed, make_lab, monkeypatch):
    """One that another release wrote, say."""
    from kdharness.api.executors import EpochFinished
    from kdharness.engine import checkpoint

    cell, bits = undisturbed
    lab = make_lab(checkpoint_seconds=0.0)

    def stop(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            raise KeyboardInterrupt

    lab.on_event = stop
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SCHEMA", 0)
    with pytest.raises(KeyboardInterrupt):
        lab.train([cell])
    monkeypatch.undo()
    lab.on_event = lambda event: None
    lab.events.clear()
    lab.train([cell])
    assert [e.epoch for e in lab.events if isinstance(e, EpochFinished)] == [1, 2]
    assert lab.bits(cell.key) == bits


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("mkldnn", "torch.backends.mkldnn.enabled"),
        ("cudnn", "torch.backends.cudnn.enabled"),
        ("attention", "torch.backends.cuda.enable_flash_sdp"),
        ("autocast", "autocast on cpu"),
        ("autocast_dtype", "autocast on cpu"),
        ("anomalies", "whether torch looks for anomalies"),
        ("inference", "whether torch records gradients"),
        ("einsum", "torch.backends.opt_einsum.enabled"),
        ("matmul", "how exactly torch multiplies float32"),
        ("functional", "the functions of torch.nn.functional"),
        ("hook", "torch's hooks on all modules and optimisers"),
        ("functions", "the modes that torch's functions are called in"),
        ("saved", "what torch does to tensors that it saves for gradients"),
        ("denormal", "whether the smallest numbers are flushed to zero"),
        ("numpy_errors", "NumPy's way with floating-point errors"),
        ("folder", "the working directory"),
        ("umask", "the mode of new files (umask)"),
        ("limit", "the process' limit RLIMIT_FSIZE"),
        ("variables", "the environment variables"),
        ("path", "where Python looks for modules (sys.path)"),
        ("signals", "what the process does on signals"),
        ("warnings", "the filters of warnings"),
        ("descriptor", "file descriptor 1"),
        ("stream", "Python's standard streams"),
        ("recursion", "Python's recursion limit"),
    ],
)
def test_a_switch_of_the_process_is_blamed_at_once_and_put_back(undisturbed, make_lab, tmp_path, kind, says):
    before = [read() for _, read, _ in torch_settings._SETTINGS]
    record = train_beside(undisturbed, make_lab, tmp_path, kind)
    assert record.error_type == "SharedStateChanged" or "before that, it changed" in record.traceback
    assert says in record.error_message + record.traceback
    assert [read() for _, read, _ in torch_settings._SETTINGS] == before
    assert torch_settings.spoiled()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("torch_function", "torch.softmax"),
        ("tensor_method", "torch.Tensor.argmax"),
        ("layer", "torch.nn.modules.linear.Linear.forward"),
        ("optimizer", "torch.optim.sgd.SGD.step"),
        ("inside", "torch.nn.functional.kl_div"),
        ("ours", "kdharness.measure.evaluate.top1"),
        ("built_in", "kdharness_plugins.methods.kd.KD.losses"),
        ("math", "math.cos"),
        ("numpy_function", "numpy.mean"),
        ("numpy_ufunc", "numpy.exp"),
        ("builtin", "builtins.max"),
        ("clock", "time.monotonic"),
        ("module", "sys.modules['kdharness.results.record']"),
        ("saving", "safetensors.torch.save_file"),
        ("linalg", "torch.linalg.vector_norm"),
    ],
)
def test_another_function_in_place_of_a_shared_one_is_found_by_trying_each_cell(
    undisturbed, make_lab, tmp_path, kind, says
):
    neighbour, bits = undisturbed
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    lab = make_lab(plugin_files=(file,))
    plan = lab.plan(methods=("faulty",), settings=(f"faulty.kind={kind}",), scenarios=("few100",))
    (cell,) = (p.cell for p in plan.cells)
    assert lab.train([cell, neighbour]) == {}
    record = lab.train([cell], alone=True)[cell.key]
    assert (record.status, record.error_type) == (Status.FAILED, "SharedStateChanged")
    assert record.error_message == f"it changed {says}, which other cells share"
    assert lab.train([neighbour], alone=True)[neighbour.key].status is Status.OK
    assert lab.bits(neighbour.key) == bits


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("late_tensor_method", "torch.Tensor.argmax"),
        ("late_ours", "kdharness.measure.evaluate.top1"),
        ("late_builtin", "builtins.max"),
        ("late_module", "sys.modules['kdharness.results.record']"),
    ],
)
def test_one_that_is_exchanged_late_is_found_before_anything_is_written(make_lab, tmp_path, kind, says):
    """Functions are not looked at after every short epoch."""
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    asked = {"scenarios": ("few100",), "epochs": 8}
    names = ("faulty", "vanilla")
    lab, clean = make_lab(plugin_files=(file,)), make_lab("clean", plugin_files=(file,))
    cell, neighbour = (p.cell for p in lab.plan(methods=names, settings=(f"faulty.kind={kind}",), **asked).cells)
    clean.train([neighbour])
    assert lab.train([cell, neighbour]) == {}
    assert not lab.folder.cell(neighbour.key).history.exists()
    record = lab.train([cell], alone=True)[cell.key]
    assert (record.status, record.error_type) == (Status.FAILED, "SharedStateChanged")
    assert record.error_message == f"it changed {says}, which other cells share"
    assert lab.train([neighbour], alone=True)[neighbour.key].status is Status.OK
    assert lab.bits(neighbour.key) == clean.bits(neighbour.key)


def test_what_cannot_be_put_back_loses_the_process_and_nothing_is_written_from_it(
    undisturbed, make_lab, tmp_path, monkeypatch
):
    """As a hard limit, which nobody may raise again."""
    neighbour, _ = undisturbed
    monkeypatch.chdir(tmp_path)
    settings = [(name, read, put) for name, read, put in torch_settings._SETTINGS if name != "the working directory"]
    stuck = ("the working directory", os.getcwd, lambda found: None)
    monkeypatch.setattr(torch_settings, "_SETTINGS", (stuck, *settings))
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    lab = make_lab(plugin_files=(file,))
    plan = lab.plan(methods=("faulty",), settings=("faulty.kind=folder",), scenarios=("few100",))
    (cell,) = (p.cell for p in plan.cells)
    with pytest.raises(DeviceLost, match="a cell changed the working directory, and it cannot be put back"):
        lab.train([neighbour, cell])
    assert list(tmp_path.rglob("record.json"))
    assert list(tmp_path.rglob("history.csv")) == []

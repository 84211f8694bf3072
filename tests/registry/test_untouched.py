"""A plugin that changes shared functions or switches when it is loaded, or asked, is named and gives nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook

from kdharness.api import Method
from kdharness.errors import UserError
from kdharness.registry.manager import Registry

METHOD = """
from kdharness.api import Method, MethodSpec, hookimpl

class Mine(Method):
    name = "mine"
    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits)}

def wrong(*args, **options):
    return 0
"""
HOOK = """
@hookimpl
def kdharness_methods():
    {}
    return [MethodSpec.of(Mine)]
"""
CHANGES = {
    "torch.nn.functional.kl_div": "import torch.nn.functional as F; F.kl_div = wrong",
    "torch.softmax": "import torch; torch.softmax = wrong",
    "torch.Tensor.argmax": "import torch; torch.Tensor.argmax = wrong",
    "torch.nn.modules.linear.Linear.forward": "from torch import nn; nn.Linear.forward = wrong",
    "torch.backends.mkldnn.enabled": "import torch; torch.backends.mkldnn.enabled = False",
    "torch.backends.opt_einsum.enabled": "import torch; torch.backends.opt_einsum.enabled = False",
    "torch's hooks on all modules": "from torch.nn.modules import module as m; m.register_module_forward_hook(wrong)",
    "numpy.mean": "import numpy; numpy.mean = wrong",
    "math.cos": "import math; math.cos = wrong",
    "kdharness.stats.paired.verdict": "import kdharness.stats.paired as p; p.verdict = wrong",
    "kdharness.api.method.helper": "import kdharness.api.method as m; m.helper = wrong",
}


def shared() -> tuple[object, ...]:
    switches = torch.backends.mkldnn.enabled, torch.backends.opt_einsum.enabled
    return functional.kl_div, torch.softmax, torch.Tensor.argmax, nn.Linear.forward, *switches


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_changes_them_when_it_is_loaded_is_refused(write, name: str) -> None:
    before = shared()
    with pytest.raises(UserError, match=rf"changes\.py: .*it changed {name}.* which the cells of all methods share"):
        Registry.load([write("changes.py", METHOD + CHANGES[name] + HOOK.format(""))])
    assert shared() == before
    assert "mine" not in Registry.load().methods
    # The harness' own classes are the ones that others hold: none was made a second time.
    assert sys.modules["kdharness.api.method"].Method is Method


@pytest.mark.parametrize("name", [name for name in CHANGES if name.startswith("torch.")])
def test_a_hook_that_changes_them_gives_nothing(write, name: str) -> None:
    before = shared()
    registry = Registry.load([write("changes.py", METHOD + HOOK.format(CHANGES[name]))])
    assert "mine" not in registry.methods
    assert "kd" in registry.methods
    assert shared() == before
    (line,) = registry.warnings
    assert "changes.py" in line
    assert f"failed in kdharness_methods: SharedStateChanged: it changed {name}" in line


def test_a_plugin_that_changes_nothing_is_loaded(write) -> None:
    text = METHOD + "import torch; torch.mine = wrong; torch.nn.functional.mine = wrong" + HOOK.format("")
    assert "mine" in Registry.load([write("sound.py", text)]).methods


def test_a_plugin_that_is_the_first_to_load_torch_is_noticed(write) -> None:
    file = write("changes.py", METHOD.replace("def wrong", CHANGES["torch.softmax"].partition(";")[0] + "\ndef wrong"))
    file.write_text("import torch\nkept = torch.softmax\ntorch.softmax = lambda *args: 0\n" + file.read_text())
    code = f"""
import sys
from kdharness.registry.manager import Registry
from kdharness.errors import UserError
assert "torch" not in sys.modules
try:
    Registry.load([__import__("pathlib").Path({str(file)!r})])
except UserError as error:
    print(error)
import torch
assert float(torch.softmax(torch.zeros(2), 0)[0]) == 0.5
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "it changed torch.softmax while it was loaded" in done.stdout


def test_what_the_program_set_before_plugins_are_loaded_is_its_own(write) -> None:
    before = torch.backends.opt_einsum.enabled
    handle = register_module_forward_hook(lambda *seen: None)
    torch.backends.opt_einsum.enabled = not before
    try:
        assert "mine" in Registry.load([write("sound.py", METHOD + HOOK.format(""))]).methods
        assert torch.backends.opt_einsum.enabled is not before
    finally:
        handle.remove()
        torch.backends.opt_einsum.enabled = before

"""Settings that a cell changed are put back, and it is told so, again and again."""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdharness.device import torch_settings
from kdharness.device.door import open_device
from kdharness.device.torch_settings import settings_kept
from kdharness.disk import no_room
from kdharness.errors import CellError, DeviceLost
from kdharness.failures import trace_of


def change_default_device() -> None:
    with pytest.raises(CellError, match="default device"), settings_kept():
        torch.set_default_device("meta")


def test_the_default_device_is_put_back_each_time() -> None:
    for _ in range(2):
        change_default_device()
        assert torch.empty(0).device == torch.device("cpu")
        with settings_kept():
            pass


def test_no_default_is_the_cpu_where_torch_cannot_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch 2.9 raises once a default was set and taken back."""

    def raises() -> torch.device:
        raise AttributeError("'NoneType' object has no attribute 'device'")

    monkeypatch.setattr(torch, "get_default_device", raises)
    with settings_kept():
        pass


def test_a_device_in_use_does_not_keep_what_plugins_set_while_they_were_loaded() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("medium")
    open_device("cpu").use()
    assert torch.get_default_dtype() is torch.float32
    assert torch.get_num_threads() == 1
    assert torch.is_grad_enabled()
    assert torch.get_deterministic_debug_mode() == 0
    assert not torch.backends.cudnn.benchmark
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("mode", ["warn", "error"])
def test_deterministic_algorithms_are_put_back_with_their_strictness(mode: str) -> None:
    """Taken for the same, a warning would become an error in every later cell."""
    torch.set_deterministic_debug_mode(mode)
    before = torch.get_deterministic_debug_mode()
    try:
        for change in ("default", "warn" if mode == "error" else "error"):
            with pytest.raises(CellError, match="deterministic"), settings_kept():
                torch.set_deterministic_debug_mode(change)
            assert torch.get_deterministic_debug_mode() == before
    finally:
        torch.set_deterministic_debug_mode("default")


@pytest.mark.parametrize("name", ["benchmark", "deterministic"])
def test_how_cudnn_chooses_is_put_back(name: str) -> None:
    with pytest.raises(CellError, match="cuDNN"), settings_kept():
        setattr(torch.backends.cudnn, name, True)
    assert not getattr(torch.backends.cudnn, name)


def other_function() -> None:
    torch.nn.functional.relu = torch.relu


def no_function() -> None:
    del torch.nn.functional.relu


@pytest.mark.parametrize("change", [other_function, no_function])
def test_a_function_of_losses_is_put_back(change: Callable[[], None]) -> None:
    relu = torch.nn.functional.relu
    with pytest.raises(CellError, match="the functions of torch"), settings_kept():
        change()
    assert torch.nn.functional.relu is relu


def test_a_device_that_a_block_left_standing_is_a_change() -> None:
    context = torch.device("meta")
    with pytest.raises(DeviceLost, match="default device, and it cannot be put back"), settings_kept():
        context.__enter__()
    context.__exit__(None, None, None)
    assert torch.empty(0).device == torch.device("cpu")


def test_where_nothing_changed_each_setting_is_read_twice_and_nothing_is_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    put: list[object] = []
    watched = ("a watched one", lambda: read.append("once"), put.append)
    monkeypatch.setattr(torch_settings, "_SETTINGS", (*torch_settings._SETTINGS, watched))
    with settings_kept():
        pass
    assert (len(read), put) == (2, [])


def multiply_in_bfloat16() -> None:
    torch.set_float32_matmul_precision("medium")


def multiply_in_tf32_everywhere() -> None:
    if not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("this torch has no precision for all backends")
    torch.backends.fp32_precision = "tf32"


@pytest.mark.parametrize("change", [multiply_in_bfloat16, multiply_in_tf32_everywhere])
def test_how_exactly_float32_is_multiplied_is_put_back(change: Callable[[], None]) -> None:
    """Both reach every later cell, whatever precision its recipe says; the second past the older switches."""
    for _ in range(2):
        with pytest.raises(CellError, match="multiplies float32"), settings_kept():
            change()
        assert torch.get_float32_matmul_precision() == "highest"
        assert getattr(torch.backends, "fp32_precision", "none") == "none"


def test_what_a_block_raises_is_told_before_what_it_changed() -> None:
    def fail() -> None:
        torch.set_default_dtype(torch.float64)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as error, settings_kept():
        fail()
    assert torch.get_default_dtype() == torch.float32
    assert error.value.__notes__ == ["before that, it changed torch's default dtype, which other cells share"]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on files works otherwise elsewhere")
def test_what_cannot_be_written_under_a_limit_of_its_own_is_no_full_disk(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write() -> None:
        with settings_kept():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
            (tmp_path / "file").write_bytes(bytes(1000))

    with pytest.raises(CellError, match="it changed the process' limit RLIMIT_FSIZE, which other cells share") as error:
        write()
    assert error.value.error_type == "SharedStateChanged"
    assert not no_room(error.value)
    assert "write_bytes(bytes(1000))" in trace_of(error.value)
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == limits


def test_a_full_disk_is_a_full_disk() -> None:
    with pytest.raises(OSError, match="No space left"), settings_kept():
        raise OSError(errno.ENOSPC, "No space left on device")


def test_all_is_put_back_before_it_is_said_that_something_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stuck = ("a stuck one", sys.getswitchinterval, lambda found: None)
    before = sys.getswitchinterval()
    monkeypatch.setattr(torch_settings, "_SETTINGS", (stuck, *torch_settings._SETTINGS))

    def change() -> None:
        with settings_kept():
            sys.setswitchinterval(2 * before)
            os.chdir("/")

    with pytest.raises(DeviceLost, match="a cell changed a stuck one, and it cannot be put back"):
        change()
    sys.setswitchinterval(before)
    assert Path.cwd() == tmp_path

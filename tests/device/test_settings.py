"""Settings that a cell changed are put back, and it is told so, again and again."""

from __future__ import annotations

import pytest
import torch

from kdharness.device.settings import settings_kept
from kdharness.errors import CellError


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

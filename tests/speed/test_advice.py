"""What pays, of fabricated ratios; and what the processor is asked."""

from __future__ import annotations

import pytest
import torch

from kdharness.device import processor
from kdharness.device.door import open_device
from kdharness.speed import advice
from kdharness.speed.advice import Advice, keep, kept_ratio
from kdharness.speed.findings import Spread
from kdharness.speed.request import Setting

FP32, LAST, BF16 = Setting(), Setting(channels_last=True), Setting("bf16", True)


def test_the_fastest_setting_is_named_with_its_option():
    ratios = {FP32: Spread(1, 1, 1), LAST: Spread(0.8, 0.7, 0.9), BF16: Spread(0.5, 0.4, 0.6)}
    options = "--set recipe.precision=bf16 recipe.channels_last=true"
    said = "a:b: bf16 channels_last takes 0.50 (0.40-0.60) of the time of fp32"
    assert Advice("a:b", ratios).sentence == f"{said}: {options}"


@pytest.mark.parametrize("ratio", [Spread(0.8, 0.7, 1.01), Spread(0.98, 0.97, 0.99), Spread(3.0, 2.9, 3.1)])
def test_what_is_not_faster_beyond_doubt_does_not_pay(ratio):
    assert "nothing is faster than fp32" in Advice("a:b", {FP32: Spread(1, 1, 1), BF16: ratio}).sentence


def test_advice_of_the_pair_goes_before_that_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(advice, "user_cache_path", lambda name: tmp_path / "new")
    device = open_device("cpu")
    assert kept_ratio(device, "bf16", ["a:b"]) is None
    for pair, ratio in (("c:d", 2.0), ("a:b", 3.0)):
        keep(Advice(pair, {FP32: Spread(1, 1, 1), Setting("bf16"): Spread(ratio, 1, 9)}), device)
    assert kept_ratio(device, "bf16", ["a:b"]) == ("a:b", 3.0)
    assert kept_ratio(device, "bf16", ["e:f"]) == ("c:d", 2.0)
    (tmp_path / "new" / "advice.json").write_text("{")
    assert kept_ratio(device, "bf16", ["a:b"]) is None


@pytest.mark.parametrize(
    ("capabilities", "mkldnn", "found"),
    [
        ({"avx2": True, "avx512_bf16": True}, True, True),
        ({"avx2": True, "amx_bf16": True, "avx512_bf16": False}, True, True),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, True, False),  # made up from AVX-512
        ({"avx2": True}, False, False),
        ({"neon": True}, True, True),
    ],
)
def test_whether_a_processor_multiplies_bf16(monkeypatch, capabilities, mkldnn, found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: mkldnn, raising=False)
    assert processor.multiplies_bf16() is found
    monkeypatch.setattr("kdharness.device.device.multiplies_bf16", lambda: found)
    assert bool(open_device("cpu").makes_up("bf16")) is not found
    assert open_device("cpu").makes_up("fp32") == ""

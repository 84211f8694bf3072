"""Test predictions, read without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdharness.results.predictions import read_predictions


def test_predictions_are_those_of_the_main_output(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, logits=np.eye(3, dtype=np.float16), logits_exit1=np.zeros((3, 3)), targets=np.arange(3))
    found = read_predictions(path)
    assert found is not None
    assert found.logits.dtype == np.float16
    assert found.logits.tolist() == np.eye(3).tolist()
    assert found.targets.tolist() == [0, 1, 2]


@pytest.mark.parametrize("arrays", [{}, {"logits": np.eye(3)}, {"logits": np.zeros(3), "targets": np.zeros(3)},
                                    {"logits": np.eye(3), "targets": np.zeros(2)}])  # fmt: skip
def test_what_is_no_predictions_is_none(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, **arrays)
    assert read_predictions(path) is None
    path.write_bytes(b"PK\x03\x04")
    assert read_predictions(path) is None
    path.unlink()
    assert read_predictions(path) is None

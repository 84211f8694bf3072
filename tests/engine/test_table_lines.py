"""What a dry run says of view tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdharness.cli.main import execute


def test_what_a_kept_teacher_spares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "run digits --methods kd --seeds 0-3 --device cpu --dry-run --out"
    assert execute([*arguments.split(), str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "its outputs are kept as they come: about 1 epoch of it in place of 400, about 0 MB" in out
    assert "(1 picture of an image)" in out
    assert not any(line.endswith(" ") for line in out.splitlines())

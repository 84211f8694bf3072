"""Files that are none, and archives that hold more than they should."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
import torch

from kdharness.cli.main import USAGE, execute
from kdharness.errors import UserError
from kdharness.plain_files import open_plain, unpacked_bytes
from kdharness.weights.reading import load_weights

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")


def test_a_plain_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 2**20)
    with open_plain(path, 2**20) as file:
        assert len(file.read()) == 2**20
    path.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(OSError, match="it is larger than 1 MiB"):
        open_plain(path, 2**20)


@needs_pipes
@pytest.mark.parametrize("option", ["--teacher", "--plugin", "--set"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_no_command_waits_for_what_has_no_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], option: str, kind: str
) -> None:
    path = tmp_path / "file.py"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    value = f"conv16.weights={path}" if option == "--set" else str(path)
    assert execute(["run", "digits", option, value, "--dry-run", "--out", str(tmp_path / "out")]) == USAGE
    shown = capfd.readouterr().err
    assert "it is no plain file" in shown
    assert shown.count("\n") == 1


def test_a_checkpoint_that_unpacks_to_more_than_weights_do_is_refused_unread(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(2**22)}, buffer)
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(buffer) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert unpacked_bytes(path) > 2**24 > 100 * path.stat().st_size
    with pytest.raises(UserError, match=r"bomb\.pt cannot be read as weights: it has \d+ bytes and unpacks"):
        load_weights(path)
    (tmp_path / "sound.pt").write_bytes(buffer.getvalue())
    assert len(load_weights(tmp_path / "sound.pt").found) == 1

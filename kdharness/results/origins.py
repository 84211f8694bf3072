"""Where a cell failed: the line of a plugin that its traceback leads to."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

CORE = Path(__file__).parents[1]
LIBRARY = Path(sysconfig.get_path("stdlib"))
# Installed beside plugins, and no plugin.
OTHERS = {"torch", "torchvision", "numpy", "safetensors", "pluggy", "pydantic", "opacus", "PIL", "sklearn", "scipy"}

_FRAME = re.compile(r'^\s*File "([^"\n]+)", line (\d+)', re.MULTILINE)


def origin_of(traceback: str) -> str:
    """'faulty.py:12': file and line of the last frame that is neither of the harness nor of a library; "" for none."""
    frames = [(Path(file), line) for file, line in _FRAME.findall(traceback) if not file.startswith("<")]
    own = [f"{file}:{line}" for file, line in frames if not _is_others(file)]
    return own[-1] if own else ""


def _is_others(file: Path) -> bool:
    if "site-packages" in file.parts:
        package = file.parts[file.parts.index("site-packages") + 1]
        return package in OTHERS or package == CORE.name
    return file.is_relative_to(CORE) or file.is_relative_to(LIBRARY)

"""What writes reports in each format: a module of `kdharness.report` and its function from reports to text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WRITERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "terminal": ("terminal", "as_text"),
        "html": ("page", "as_page"),
        "latex": ("latex", "as_latex"),
        "markdown": ("markdown", "as_markdown"),
    }
)

"""Packages as pip leaves them, made without pip: a module beside its metadata in a folder on sys.path."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path

METHOD = """
from kdharness.api import Method, MethodSpec, hookimpl

class {cls}(Method):
    "A method for a test."
    name = "{name}"

@hookimpl
def kdharness_methods():
    return [MethodSpec.of({cls}, revision={revision})]
"""


def method_source(name: str, revision: int | None = None) -> str:
    """The source of a plugin with one method."""
    return METHOD.format(name=name, cls=name.title().replace("_", ""), revision=revision)


@dataclass
class Installer:
    """Puts packages into `folder`, which is on sys.path."""

    folder: Path

    def __call__(
        self,
        package: str,
        source: str,
        *,
        version: str = "1.0",
        entry_points: tuple[str, ...] = (),
        editable: bool = False,
        record: bool = True,
    ) -> Path:
        """A distribution `package` of one module of that name; returns the module's file."""
        module = self.folder / f"{package}.py"
        module.write_text(source)
        metadata = self.folder / f"{package}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = entry_points or (f"{package} = {package}",)
        (metadata / "entry_points.txt").write_text("\n".join(("[kdharness]", *lines)) + "\n")
        if record:
            (metadata / "RECORD").write_text(f"{package}.py,,\n")
        if editable:
            direct = {"url": module.parent.as_uri(), "dir_info": {"editable": True}}
            (metadata / "direct_url.json").write_text(json.dumps(direct))
        importlib.invalidate_caches()
        return module

"""Loading plugins, one by one: entry points of installed packages, and single files."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from kdharness.api.versions import check_file, check_stated
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt
from kdharness.plain_files import open_plain
from kdharness.registry.metadata import Package, declared_plugins
from kdharness.registry.source import Broken, Source
from kdharness.registry.untouched import untouched

GROUP = "kdharness"


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin: a module, or an object whose methods are hooks."""

    name: str
    target: Any
    source: Source


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """What plugins print goes to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def installed_plugins() -> Iterator[Plugin | Broken]:
    """The plugins of installed packages, in order of distribution and name. None can keep the others from loading."""
    declared, broken = declared_plugins(GROUP)
    yield from broken
    for entry_point, package in declared:
        yield _load_entry_point(entry_point, package)


def _load_entry_point(entry_point: EntryPoint, package: Package) -> Plugin | Broken:
    source = Source(
        distribution=package.name,
        version=package.version,
        file=_module_file(entry_point.module),
        module=entry_point.module,
        entry_point=entry_point.name,
        editable=package.editable,
    )
    with quiet_stdout():
        target = attempt(partial(_checked, entry_point.load, source.file))
    if isinstance(target, Failure):
        return Broken(entry_point.name, source, target.error, target.traceback)
    return Plugin(entry_point.name, target, source)


def _checked(load: Callable[[], Any], path: str) -> Any:
    """The plugin that `load` gives. NewerApi for one that wants a newer kdharness, even where it does not load."""
    try:
        found = load()
        untouched.check(getattr(inspect.getmodule(found), "__name__", ""))
    except Exception:
        check_file(path)
        raise
    for each in (inspect.getmodule(found), found):
        check_stated(each)
    return _instance(found)


def _instance(target: Any) -> Any:
    """Hooks that are methods of a class need an instance of it."""
    return target() if inspect.isclass(target) else target


def _module_file(name: str) -> str:
    """The file of a module, without importing it or its parents; the module's name when it is not found."""
    top, *rest = name.split(".")
    spec = attempt(lambda: importlib.util.find_spec(top))
    if spec is None or isinstance(spec, Failure):
        return name
    if not rest:
        return spec.origin or name
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return str(candidate)
    return name


class _SourceLoader(SourceFileLoader):
    """Compiles what was read, past the bytecode cache: the cache takes an edit within a second for the old file."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self.content = content

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.content, self.path)
        return code


def read_file(path: Path) -> bytes:
    """What --plugin names, not yet run. UserError with one line when it is missing or no Python."""
    place = f"--plugin {path}"
    if path.suffix != ".py":
        raise UserError(f"{place}: not a Python file (.py)")
    try:
        with open_plain(path.resolve()) as file:
            return file.read()
    except OSError as error:
        raise UserError(f"{place}: {(error.strerror or str(error)).lower()}") from None


def file_plugin(path: Path) -> Plugin:
    """The plugin in a single file. UserError with one line when it is missing, no Python, or fails to load."""
    place = f"--plugin {path}"
    content = read_file(path)
    resolved = path.resolve()
    # The same file is one module in every process, so that its objects can be pickled; an edited one is another.
    unique = hashlib.sha256(bytes(resolved) + b"\0" + content).hexdigest()[:12]
    name = f"kdharness_plugin_{path.stem}_{unique}"
    with quiet_stdout():
        module = attempt(partial(_checked, partial(_load_file, name, str(resolved), content), str(resolved)))
    if isinstance(module, Failure):
        raise UserError(f"{place}:{_line(module.exception, str(resolved))} {module.error}") from module.exception
    source = Source("", "", str(resolved), name, kind="file", digest=hashlib.sha256(content).hexdigest())
    return Plugin(path.name, module, source)


def _load_file(name: str, path: str, content: bytes) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceLoader(name, path, content))
    assert spec is not None  # a loader was given
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and type hints look their module up
    try:
        spec.loader.exec_module(module)
        untouched.check(name)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _line(exception: BaseException, path: str) -> str:
    """'12:', the deepest line of the file at `path` that the exception passed; '' when it passed none."""
    if isinstance(exception, SyntaxError) and exception.filename == path:
        return f"{exception.lineno}:"
    line, trace = None, exception.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{line}:" if line else ""

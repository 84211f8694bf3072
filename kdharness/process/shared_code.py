"""Functions and modules that all cells of a process use, and whether somebody put others in their place."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from functools import cache
from itertools import chain
from operator import attrgetter, call, is_, itemgetter, methodcaller
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType, ModuleType
from typing import Any

# The packages whose functions cells of all methods run.
PACKAGES = ("kdharness", "kdharness_plugins")

# Modules whose functions the core calls, of torch and others, where they are loaded.
_MODULES = (
    *("torch", "torch.nn.functional", "torch.autograd", "torch.nn", "torch.nn.init", "torch.optim", "torch.linalg"),
    *("torch.fft", "torch.special", "torch.func", "torch.serialization", "safetensors.torch", "numpy", "numpy.linalg"),
    *("numpy.random", "builtins", "copy", "functools", "hashlib", "io", "itertools", "json", "math", "os", "os.path"),
    *("pickle", "random", "shutil", "statistics", "struct", "tempfile", "time", "zipfile"),
)
# Packages that the core imports.
_LIBRARIES = ("torch", "numpy", "safetensors", "pandas", "scipy", "pydantic", "pluggy")
_PYTHONS = (FunctionType, BuiltinFunctionType, MethodDescriptorType, MethodType)
_KINDS = (*_PYTHONS, staticmethod, classmethod, property, type)
# NumPy's own kinds of function.
_NUMPYS = frozenset({"ufunc", "_ArrayFunctionDispatcher"})

Owner = ModuleType | type

# What a function is made of, and each part of it.
_PARTS = ("__code__", "__defaults__", "__kwdefaults__")
_inside = attrgetter(*_PARTS)
_each_part = tuple(map(attrgetter, _PARTS))
_values_of = methodcaller("values")


class SharedCode:
    """The functions and classes of some modules and classes, by name, as they are now.

    owners: what each of these has. modules: what is to be found under some names in `sys.modules`.
    """

    def __init__(self, owners: Sequence[Owned], modules: Mapping[str, ModuleType]) -> None:
        self._modules = dict(modules)
        self._owners = owners
        # Asked after every hook of a plugin: no call of Python for each owner, no new object for each function.
        self._with_names = [owned for owned in owners if owned.names]
        self._getters = [itemgetter(*owned.names) for owned in self._with_names]
        self._spaces = [owned.space for owned in self._with_names]
        self._functions = list({id(f): f for owned in owners for f in owned.functions}.values())
        self._insides = self._inner_parts()
        self._classes = [owned for owned in owners if isinstance(owned.owner, type)]
        self._of_classes = [owned.space for owned in self._classes]
        self._note()

    def _note(self) -> None:
        """What is to be found: of one name its value, of several a tuple; and how many names each class has."""
        self._found = [tuple(o.values) if len(o.values) > 1 else o.values[0] for o in self._with_names]
        self._sizes = [len(owned.all_names) for owned in self._classes]

    @property
    def stands(self) -> bool:
        """Whether all are as they were."""
        try:
            found = [*map(call, self._getters, self._spaces)]
        except KeyError:  # a name is gone
            return False
        sizes = [*map(len, self._of_classes)]
        return sizes == self._sizes and found == self._found and self._inner_parts() == self._insides

    def _inner_parts(self) -> list[list[Any]]:
        return [[*map(part, self._functions)] for part in _each_part]

    def finding(self, modules: Mapping[str, ModuleType]) -> SharedCode:
        """The same with other modules."""
        other = copy(self)
        other._modules = dict(modules)
        return other

    def put_back(self) -> list[str]:
        """The full names of those that are others now. They are what they were."""
        return [*([] if self.stands else self._owners_put_back()), *self._modules_put_back()]

    def _owners_put_back(self) -> list[str]:
        known = {id(value) for owned in self._owners for value in owned.values}
        other = [owned for owned in self._owners if not owned.stands]
        found = sorted(name for owned in other for name in owned.put_back(known))
        # What came and hides nothing stays: it is not to be looked at again each time.
        for owned in other:
            owned.note_all()
        self._note()
        return found

    def _modules_put_back(self) -> list[str]:
        if [*map(sys.modules.get, self._modules)] == [*self._modules.values()]:
            return []
        lost = [name for name, module in self._modules.items() if sys.modules.get(name) is not module]
        sys.modules.update((name, self._modules[name]) for name in lost)
        return [f"sys.modules['{name}']" for name in lost]


class Owned:
    """What a module or class has. Names that come to it later are its own affair, unless they hide a base's."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.space = vars(owner)
        self.note_all()
        kept = {name: value for name, value in self.space.items() if _counts(value)}
        self.names = list(kept)
        self.values: list[Any] = list(kept.values())
        self.function_names = [name for name, value in kept.items() if isinstance(value, FunctionType)]
        self.functions: list[FunctionType] = [kept[name] for name in self.function_names]
        self.insides = [*map(_inside, self.functions)]

    def note_all(self) -> None:
        """The names that it has now and their values, those that do not count among them."""
        self.all_names, self.all_values = list(self.space), list(self.space.values())

    @property
    def stands(self) -> bool:
        """Whether nothing is another thing than it was."""
        if isinstance(self.owner, type) and len(self.space) != len(self.all_names):
            return False
        return [*map(self.space.get, self.names)] == self.values and [*map(_inside, self.functions)] == self.insides

    @property
    def is_current(self) -> bool:
        """Whether it would be noted as it is: nothing came, went or changed, what does not count here neither."""
        return (
            [*self.space] == self.all_names
            and all(map(is_, self.space.values(), self.all_values))
            and [*map(_inside, self.functions)] == self.insides
        )

    def put_back(self, known: Collection[int]) -> list[str]:
        """known: ids of functions that are not to stand in another one's place."""
        found = self._hiding(known)
        for name in found:
            delattr(self.owner, name)
        for number, (name, value) in enumerate(zip(self.names, self.values, strict=True)):
            now = self.space.get(name)
            if now is value:
                continue
            if _is_torchs_own(now, known):
                self.values[number] = now
                continue
            found.append(name)
            setattr(self.owner, name, value)
        for name, function, inside in zip(self.function_names, self.functions, self.insides, strict=True):
            if _inside(function) != inside:
                found.append(name)
                function.__code__, function.__defaults__, function.__kwdefaults__ = inside
        return [f"{_name(self.owner)}.{name}" for name in found]

    def _hiding(self, known: Collection[int]) -> list[str]:
        """Names that a class got, in front of those of its bases."""
        if not isinstance(self.owner, type):
            return []
        known_names = set(self.all_names)
        new = [n for n, v in self.space.items() if n not in known_names and not _is_torchs_own(v, known)]
        bases = self.owner.__mro__[1:]
        return [name for name in new if any(isinstance(vars(base).get(name), _KINDS) for base in bases)]


def _is_torchs_own(now: Any, known: Collection[int]) -> bool:
    """Whether a function is of torch's own source: it wraps some of its functions when parts of it are first used."""
    made = isinstance(now, FunctionType) and now.__code__.co_filename.startswith(_torch_folder())
    return made and id(now) not in known


@cache
def _torch_folder() -> str:
    return str(Path(str(sys.modules["torch"].__file__)).parent)


def _counts(value: object) -> bool:
    return isinstance(value, _KINDS) or type(value).__name__ in _NUMPYS


def _name(owner: Owner) -> str:
    return f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__


def all_shared_code() -> SharedCode:
    """Of the modules that the core calls, torch's layers and optimisers, and what is loaded of PACKAGES. Torch is
    loaded.
    """
    ours = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] in PACKAGES]
    modules: list[Owner] = [*(sys.modules[name] for name in _MODULES if name in sys.modules), *ours]
    if not _last.is_current_for(modules):
        _last.note(modules)
    return _last.code.finding(_found_by_all())


class _Last:
    """What was noted last: most of it never changes."""

    def __init__(self) -> None:
        self._modules: list[Owner] = []
        self._owned: dict[int, Owned] = {}
        self.code = SharedCode((), {})

    def note(self, modules: list[Owner]) -> None:
        classes = dict.fromkeys(c for module in modules for c in _classes(module))
        owned = [self._noted(owner) for owner in (*modules, sys.modules["torch"].Tensor, *classes)]
        self._modules, self._owned = modules, {id(each.owner): each for each in owned}
        self.code = SharedCode(owned, {})
        self._spaces = [each.space for each in owned]
        self._sizes = [len(each.all_names) for each in owned]
        self._names = [name for each in owned for name in each.all_names]
        self._values = [value for each in owned for value in each.all_values]

    def is_current_for(self, modules: list[Owner]) -> bool:
        """Whether these modules, and all that they have, would be noted as they are. All at once, for it is asked for
        every group.
        """
        return (
            modules == self._modules
            and [*map(len, self._spaces)] == self._sizes
            and [*chain.from_iterable(self._spaces)] == self._names
            and all(map(is_, chain.from_iterable(map(_values_of, self._spaces)), self._values))
            and self.code.stands
        )

    def _noted(self, owner: Owner) -> Owned:
        last = self._owned.get(id(owner))
        return last if last is not None and last.is_current else Owned(owner)


_last = _Last()


def _found_by_all() -> dict[str, ModuleType]:
    """The modules that others import by name, some of them in the middle of a run."""
    packages = {*PACKAGES, *_LIBRARIES, *sys.stdlib_module_names}
    loaded = [(name, module) for name, module in list(sys.modules.items()) if isinstance(module, ModuleType)]
    return {name: module for name, module in loaded if name.partition(".")[0] in packages}


def _classes(module: Owner) -> Iterator[type]:
    """Those that are made of functions in Python, of this package or of torch's layers and optimisers."""
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__.startswith((*PACKAGES, "torch.nn.", "torch.optim.")):
            yield value

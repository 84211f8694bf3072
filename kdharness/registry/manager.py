"""The registry: everything that plugins add, by name. The only user of pluggy beside the marker in kdharness.api."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pluggy

from kdharness.api.declarations import ModelSpec
from kdharness.api.specs import DatasetSpec, ExecutorSpec, LoggerSpec, MethodSpec, MetricSpec, OptimizerSpec, ViewSpec
from kdharness.disk import no_room
from kdharness.errors import UserError, nearest
from kdharness.failures import Failure, attempt
from kdharness.registry import hookspecs
from kdharness.registry.collection import Collection
from kdharness.registry.combinations import combined
from kdharness.registry.gathering import Implementation, each_failure, gather, misspelt_names
from kdharness.registry.kinds import KINDS, Kind
from kdharness.registry.loading import Plugin, file_plugin, installed_plugins, quiet_stdout
from kdharness.registry.source import Broken, Registered, Source
from kdharness.registry.stamp import Stamp, Stamps
from kdharness.registry.untouched import untouched
from kdharness.text import JOIN, joined

PROJECT = "kdharness"
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("kdharness_"))
# What is told, not asked for.
EVENTS = tuple(hook for hook in HOOKS if hook not in {kind.hook for kind in KINDS.values()})


@dataclass(frozen=True)
class PluginInfo:
    """A plugin as `kdharness list plugins` shows it. hooks: those it implements; errors: one line each."""

    name: str
    source: Source
    hooks: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class Registry:
    """What is installed. A kind's records are collected when first asked for, so that most questions load no torch.

    Nothing that an installed plugin does wrong is raised from here; only a name that it claims may become unusable.
    """

    def __init__(self, plugins: Sequence[Plugin | Broken]) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._registered: dict[str, Plugin] = {}
        self._infos: list[PluginInfo] = []
        self._broken: list[Broken] = []
        self._notes: list[str] = []
        self._odd: list[str] = []
        self._collections: dict[str, Collection] = {}
        self._combinations: dict[str, Registered[MethodSpec]] = {}
        self._stamps = Stamps()
        self._switched_off: set[Source] = set()
        for plugin in plugins:
            self._add(plugin)

    @classmethod
    def load(cls, plugin_files: Sequence[Path] = ()) -> Registry:
        """The installed plugins, and those in single files. UserError when a file that the user named does not load."""
        untouched.begin()
        files = {Path(path).resolve(): Path(path) for path in plugin_files}
        return cls([*installed_plugins(), *(file_plugin(path) for path in files.values())])

    # -- plugins ------------------------------------------------------------------------------------------------------

    def _add(self, plugin: Plugin | Broken) -> None:
        if isinstance(plugin, Plugin):
            outcome = attempt(partial(self._register, plugin))
            if not isinstance(outcome, Failure):
                self._infos.append(PluginInfo(plugin.name, plugin.source, outcome))
                return
            plugin = Broken(plugin.name, plugin.source, outcome.error, outcome.traceback)
        self._infos.append(PluginInfo(plugin.name, plugin.source))
        self._broken.append(plugin)

    def _register(self, plugin: Plugin) -> tuple[str, ...]:
        """Gives the plugin to pluggy, once however many entry points name it, and returns the hooks it implements."""
        hooks = tuple(hook for _, hook in self._marked(plugin.target) if hook in HOOKS)
        if any(plugin.target is known.target for known in self._registered.values()):
            return hooks
        for attribute, hook in self._marked(plugin.target):
            options = self._manager.parse_hookimpl_opts(plugin.target, attribute)
            if options is not None and (options.get("wrapper") or options.get("hookwrapper")):
                raise TypeError(f"{hook} is a hook wrapper; kdharness calls each plugin's hook by itself")
        key = f"{plugin.source.distribution}:{plugin.source.entry_point or plugin.source.module}"
        with warnings.catch_warnings(record=True) as told:  # of hooks and arguments that their spec says will go
            warnings.simplefilter("always")
            self._manager.register(plugin.target, key)
        if told:
            lines = "; ".join(dict.fromkeys(str(warning.message) for warning in told))
            self._notes.append(f"plugin '{plugin.name}' of {plugin.source}: {lines}")
        self._registered[key] = plugin
        self._odd += self._oddities(plugin, hooks)
        return hooks

    def _marked(self, target: Any) -> list[tuple[str, str]]:
        """(attribute, hook) of everything that is marked with @hookimpl."""
        found = ((name, self._manager.parse_hookimpl_opts(target, name)) for name in dir(target))
        return [(name, options.get("specname") or name) for name, options in found if options is not None]

    def _oddities(self, plugin: Plugin, hooks: tuple[str, ...]) -> list[str]:
        """Lines on what looks like a hook and is none."""
        marked = dict(self._marked(plugin.target))
        unmarked = (name for name in dir(plugin.target) if name.startswith("kdharness_") and name not in marked)
        routines = [name for name in unmarked if inspect.isroutine(getattr(plugin.target, name, None))]
        where = f"plugin '{plugin.name}' of {plugin.source}"
        lines = [f"{where}: {name} is without @hookimpl, and is not called" for name in routines if name in HOOKS]
        for name in [*routines, *marked.values()]:
            if name not in HOOKS:
                hint = " or ".join(f"'{hook}'" for hook in nearest(name, HOOKS, most=1)) or ", ".join(HOOKS)
                lines.append(f"{where}: there is no hook '{name}'; did you mean {hint}?")
        if not hooks and not lines:
            lines.append(f"{where} implements no hook")
        return lines

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """Every plugin, the broken ones too. Errors of hooks are known once they have been called."""
        return tuple(
            replace(info, errors=tuple(str(b) for b in self._broken if (b.name, b.source) == (info.name, info.source)))
            for info in self._infos
        )

    @property
    def broken(self) -> tuple[Broken, ...]:
        """What failed so far: plugins that did not load, hooks that raised or returned what they should not."""
        return tuple(self._broken)

    @property
    def clashes(self) -> Mapping[tuple[str, str], list[Source]]:
        """(kind, name) of names that several plugins claim, among the kinds that were asked for; nobody gets them."""
        found = self._collections.items()
        return {(kind, name): sources for kind, each in found for name, sources in each.clashes.items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each thing that is wrong with the plugins, as far as it is known."""
        clashes = (each.clash_line(name) for each in self._collections.values() for name in each.clashes)
        return (*(str(b) for b in self._broken), *self._notes, *self._odd, *clashes)

    # -- records ------------------------------------------------------------------------------------------------------

    @property
    def methods(self) -> Mapping[str, Registered[MethodSpec]]:
        return self.of("method")

    @property
    def models(self) -> Mapping[str, Registered[ModelSpec]]:
        return self.of("model")

    @property
    def datasets(self) -> Mapping[str, Registered[DatasetSpec]]:
        return self.of("dataset")

    @property
    def views(self) -> Mapping[str, Registered[ViewSpec]]:
        return self.of("view")

    @property
    def metrics(self) -> Mapping[str, Registered[MetricSpec]]:
        return self.of("metric")

    @property
    def optimizers(self) -> Mapping[str, Registered[OptimizerSpec]]:
        return self.of("optimizer")

    @property
    def executors(self) -> Mapping[str, Registered[ExecutorSpec]]:
        return self.of("executor")

    @property
    def loggers(self) -> Mapping[str, Registered[LoggerSpec]]:
        return self.of("logger")

    def of(self, kind: str) -> Mapping[str, Registered[Any]]:
        """Everything of a kind ("method", "model", "view", …) by name, in order of names."""
        return self._collection(kind).by_name

    def known(self, kind: str) -> Mapping[str, Registered[Any]]:
        """The same, and "package/name" of each whose name several claim."""
        return self._collection(kind).known

    def aliases(self, kind: str) -> Mapping[str, str]:
        """Every "package/name" of a kind, and the name of `known` that it stands for."""
        return self._collection(kind).aliases

    def name_of(self, kind: str, name: str) -> str:
        """The name of `known` that a name or "package/name" stands for; itself where it stands for nothing. Of methods
        joined by '+', that of each.
        """
        if kind == "method" and JOIN in name:
            return JOIN.join(self.name_of(kind, part) for part in joined(name))
        return self._collection(kind).name_of(name) if "/" in name else name

    def get(self, kind: str, name: str, where: str = "") -> Registered[Any]:
        """The record called `name`, or "package/name", which came from `where`. UserError when nobody provides it or
        several claim it. Methods joined by '+' are one record.
        """
        if kind == "method" and JOIN in name:
            return self._combined(name, where)
        suspects = [str(b) for b in self._broken if b.hook in ("", KINDS[kind].hook)]
        return self._collection(kind).get(name, where, [*suspects, *self._odd], lambda: self.elsewhere(kind, name))

    def _combined(self, name: str, where: str) -> Registered[MethodSpec]:
        """UserError also for methods that cannot be trained as one."""
        if (whole := self.name_of("method", name)) not in self._combinations:
            if not all(joined(whole)):
                raise UserError(f"method '{name}'{f' ({where})' if where else ''}: a name is missing beside '{JOIN}'")
            parts = {part: self.get("method", part, where) for part in joined(whole)}
            if len(parts) < len(joined(whole)):
                raise UserError(f"method '{whole}'{f' ({where})' if where else ''} names one of its parts twice")
            self._combinations[whole] = combined(parts, where)
        return self._combinations[whole]

    def elsewhere(self, kind: str, name: str) -> str:
        """Another kind of thing that is called so; "" for none."""
        return next((other for other in KINDS if other != kind and name in self.known(other)), "")

    def stamp(self, registered: Registered[Any]) -> Stamp:
        """What of its plugin enters the keys of cells: package and revision or version, or a digest of the source. Of
        methods that are one, that of each by its name.
        """
        parts = {name: self.stamp(part) for name, part in registered.parts.items()}
        return parts or self._stamps.of(registered)

    def _collection(self, kind: str) -> Collection:
        if kind not in self._collections:
            untouched.begin()
            self._collections[kind] = Collection.of(KINDS[kind], self._records(KINDS[kind]))
        return self._collections[kind]

    def _records(self, kind: Kind) -> list[Registered[Any]]:
        """All that the plugins' hooks return."""
        records: list[Registered[Any]] = []
        for implementation in self._implementations(kind.hook):
            before = len(records)
            with quiet_stdout():
                failure = attempt(partial(gather, kind, implementation, records))
            touched = attempt(partial(untouched.check, implementation.plugin.source.module))
            if touched is not None:
                del records[before:]
                failure = touched
            if failure is not None:
                for each in each_failure(failure):
                    self._fail(implementation, each)
        self._notes += [line for record in records for line in misspelt_names(record)]
        return records

    def _implementations(self, hook: str) -> Iterator[Implementation]:
        """The hook's functions, in the order in which plugins were loaded."""
        found = {h.plugin_name: h for h in getattr(self._manager.hook, hook).get_hookimpls()}
        for key, plugin in self._registered.items():
            if key in found:
                yield Implementation(plugin, hook, found[key].function, tuple(found[key].argnames))

    def _fail(self, implementation: Implementation, failure: Failure) -> Broken:
        plugin = implementation.plugin
        broken = Broken(plugin.name, plugin.source, failure.error, failure.traceback, implementation.hook)
        self._broken.append(broken)
        return broken

    # -- events -------------------------------------------------------------------------------------------------------

    def attach(self, name: str, listener: object, source: Source) -> None:
        """From now on an object's methods that are event hooks are called. name: of the logger that it is. TypeError
        for an object whose methods are other hooks, or none.
        """
        hooks = [hook for _, hook in self._marked(listener)]
        if not hooks or not set(hooks) <= set(EVENTS):
            wrong = sorted(set(hooks) - set(EVENTS))
            raise TypeError(f"{', '.join(wrong)} is no event" if wrong else "it implements no event")
        self._register(Plugin(name, listener, replace(source, entry_point=f"logger {name}")))

    def listens(self, event: str) -> bool:
        """Whether any plugin wants to hear of an event ("cell_finished")."""
        hook = self._implementations(f"kdharness_{event}")
        return any(implementation.plugin.source not in self._switched_off for implementation in hook)

    def fire(self, event: str, **values: Any) -> list[str]:
        """Tells every plugin of an event ("cell_started"), one of EVENTS.

        A plugin that raises hears of no further event. Returns a line for each one that was switched off now. UserError
        for one that found the disk full.
        """
        lines = []
        for implementation in self._implementations(f"kdharness_{event}"):
            if implementation.plugin.source in self._switched_off:
                continue
            # Each gets dicts of its own, so that none can change what the next one sees.
            given = [
                dict(v) if isinstance(v, Mapping) else v for v in map(values.__getitem__, implementation.arguments)
            ]
            outcome = attempt(partial(implementation.function, *given))
            if isinstance(outcome, Failure):
                if no_room(outcome.exception):
                    plugin = implementation.plugin
                    what = f"nothing more can be written: {outcome.error} (plugin '{plugin.name}' of {plugin.source})"
                    raise UserError(what) from outcome.exception
                self._switched_off.add(implementation.plugin.source)
                lines.append(f"{self._fail(implementation, outcome)}; it is switched off for the rest of the run")
        return lines

"""What decides a cell's numbers, what makes cells comparable, and how a run departs from its benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kdharness.planning.cell import NUMERICS, SCHEMA, SPREAD, STUDENT, TEACHER, digest
from kdharness.planning.networks import configured
from kdharness.planning.neutral import key_part, model_part
from kdharness.planning.resolve import Resolved
from kdharness.planning.seeding import STUDENT_ALONE
from kdharness.planning.training import Setting, Sources, Training
from kdharness.protocol.recipe import Recipe
from kdharness.weights.choice import marked


@dataclass(frozen=True)
class Documents:
    """Says it of each training run of a plan."""

    resolved: Resolved

    def of_cell(self, setting: Setting, training: Training, sources: Sources) -> dict[str, Any]:
        """All that decides a cell's numbers."""
        resolved = self.resolved
        installed = resolved.methods.get(training.method)
        method = {
            "name": training.method,
            "parameters": key_part(training.setup.values, installed.spec.parameters),
            "without": list(training.setup.without),
            "plugin": dict(installed.stamp),
        }
        teachers = [{**self.network(s.model), "source": s.identity} for s in sources.teachers]
        start = {"start": sources.start.identity} if sources.start else {}
        networks = {"networks": [self.network(name) for name in sources.networks]} if sources.networks else {}
        views = {name: dict(resolved.views.get(name).stamp) for name in sources.views}
        scenario, recipe = resolved.scenarios[setting.scenario], self.recipe(setting, training)
        return {
            "schema": SCHEMA,
            "numerics": NUMERICS,
            "dataset": dict(resolved.datasets[setting.dataset].document),
            "scenario": model_part(resolved.seeding.of_scenario(scenario, setting.seed)),
            "recipe": model_part(recipe),
            # A step is a student's training: the same one has one key, whoever asks for it.
            "role": TEACHER if training.role == TEACHER else STUDENT,
            "subset": training.subset,
            "optimizers": resolved.optimizers.document((recipe.optimizer, *sources.optimizers)),
            "method": method,
            "student": self.network(training.student),
            "teachers": teachers,
            **start,
            **networks,
            **({"views": views} if views else {}),
            "evaluation": {"split": "test", **model_part(resolved.evaluation)},
            "seed": training.seed,
            **self._seeding(setting, training),
        }

    def network(self, name: str) -> dict[str, Any]:
        """All of a model that decides what its networks are."""
        installed = self.resolved.models.get(name)
        said = self.resolved.networks.document(name)
        own = configured(installed.spec, said).preprocessing
        preprocessing = {"preprocessing": _plain(asdict(own))} if own is not None else {}
        return {
            "name": name,
            "plugin": dict(installed.stamp),
            **said,
            **preprocessing,
        }

    def recipe(self, setting: Setting, training: Training) -> Recipe:
        """Of the network that is trained."""
        if training.role == TEACHER:
            return self.resolved.recipes.of_teacher(training.student)
        return self.resolved.recipes.of_student(training.student, setting.recipe)

    def _seeding(self, setting: Setting, training: Training) -> dict[str, str]:
        """What a student's seed draws anew, where it is not the usual. Else a student that no teacher and no draw of
        the data touches would be one cell under two rules, and its row could stand in one table only.
        """
        drawn = self.resolved.seeding.drawn(self.resolved.scenarios[setting.scenario])
        return {} if training.role == TEACHER or drawn == STUDENT_ALONE else {"seeding": drawn}

    def protocol(self, setting: Setting, training: Training, document: Mapping[str, Any]) -> str:
        """The digest of what makes cells comparable: of students under one recipe, or of teachers."""
        recipes = self.resolved.recipes
        optimizers = self.resolved.optimizers.changed()
        shared = {name: document[name] for name in ("schema", "numerics", "dataset", "evaluation")}
        networks = {"networks": dict(documents)} if (documents := self.resolved.networks.documents) else {}
        students = {} if training.role == TEACHER else dict(recipes.students[setting.recipe])
        return digest(
            {
                **shared,
                **networks,
                **({"optimizers": optimizers} if optimizers else {}),
                # As it is defined, whichever draw of it a cell meets.
                "scenario": model_part(self.resolved.scenarios[setting.scenario]),
                **({"students": students} if students else {}),
                **self._seeding(setting, training),
                "recipe": model_part(recipes.base),
                "views": self._views((recipes.teacher, *recipes.said_of_models.values(), students)),
                "teacher": dict(recipes.teacher),
                "models": {name: table for name, table in recipes.said_of_models.items() if table},
                "files": sorted(marked(file.sha256, file.chosen) for file in self.resolved.files.values()),
            },
            12,
        )

    def _views(self, tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The stamps of the views that recipes name. tables: what differs from the base."""
        augmentation = "augmentation"
        names = {self.resolved.recipes.base.augmentation, *(t[augmentation] for t in tables if augmentation in t)}
        return {name: dict(self.resolved.views.get(name).stamp) for name in names}

    def deviations(self, setting: Setting, training: Training, taught: bool, optimizers: Iterable[str]) -> list[str]:
        """How a cell departs from its benchmark. Only what is ranked departs by its models."""
        resolved = self.resolved
        everywhere = (*resolved.recipes.deviations, *resolved.networks.deviations)
        found = [*everywhere, *resolved.datasets[setting.dataset].deviations]
        found += resolved.optimizers.deviations(optimizers)
        if setting.scenario not in resolved.own_scenarios:
            found.append(f"scenario={setting.scenario}")
        if training.role != TEACHER:
            found += [*resolved.recipes.student_deviations]
            found += resolved.seeding.deviations(resolved.scenarios[setting.scenario])
        if training.role not in (STUDENT, SPREAD):
            return found
        if taught:
            if setting.pair not in resolved.own_pairs:
                found.append(f"pair={setting.pair}")
            files = sorted((model, file) for model, file in resolved.files.items() if model in setting.pair.teachers)
            found += [f"teacher {model} from file {marked(file.sha256[:12], file.chosen)}" for model, file in files]
        elif training.student not in {pair.student for pair in resolved.own_pairs}:
            found.append(f"student={training.student}")
        return found


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

"""What each student seed draws anew: itself, its teachers, its data."""

from __future__ import annotations

from dataclasses import dataclass

from kdharness.errors import UnknownName
from kdharness.protocol.benchmark import SCENARIO_SEEDS, TEACHER_SEEDS, Benchmark
from kdharness.protocol.scenario import Clean, Scenario, Split

PAIRED = "paired"
# What a seed draws by the usual rule, as the column `seeding` says it.
STUDENT_ALONE = "student"


@dataclass(frozen=True)
class Seeding:
    """The rule of a run.

    teachers: "single" for one teacher for all student seeds; "paired" for one each, of the student's seed.
    scenarios: "fixed" for one draw of a scenario; "paired" for one each, of the scenario's seed plus the student's.
    teacher_seed: of the single teacher.
    own_teachers: what the benchmark says.
    own_scenarios: likewise.
    """

    teachers: str = "single"
    scenarios: str = "fixed"
    teacher_seed: int = 0
    own_teachers: str = "single"
    own_scenarios: str = "fixed"

    def of_teacher(self, seed: int, own: int | None = None) -> int:
        """The seed of the teachers of a student's seed. own: where the rule does not say it, as in a spread."""
        if own is not None:
            return own
        return seed if self.teachers == PAIRED else self.teacher_seed

    def of_scenario(self, scenario: Scenario, seed: int) -> Scenario:
        """The scenario as a student's seed meets it. Where membership is a coin, the coin alone is tossed anew."""
        if self.scenarios != PAIRED or isinstance(scenario, Clean):
            return scenario
        if isinstance(scenario, Split) and scenario.candidates:
            return scenario.model_copy(update={"coin": scenario.coin + seed})
        return scenario.model_copy(update={"seed": scenario.seed + seed})

    def drawn(self, scenario: Scenario) -> str:
        """What a seed draws: "student", "student+teacher", "student+data" or "student+teacher+data"."""
        teacher = ["teacher"] if self.teachers == PAIRED else []
        data = ["data"] if self.scenarios == PAIRED and not isinstance(scenario, Clean) else []
        return "+".join([STUDENT_ALONE, *teacher, *data])

    def deviations(self, scenario: Scenario) -> list[str]:
        """How the rule departs from the benchmark's where that makes a difference."""
        found = [] if self.teachers == self.own_teachers else [f"teacher_seeds={self.teachers}"]
        if self.scenarios != self.own_scenarios and not isinstance(scenario, Clean):
            found.append(f"scenario_seeds={self.scenarios}")
        return found


@dataclass(frozen=True)
class Spread:
    """Students that are trained once more under other teachers, so that it is known how much of a result is theirs.

    seeds: of these teachers; none for no such students.
    methods: which; none for all that run.
    """

    seeds: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()

    def has(self, method: str) -> bool:
        return not self.methods or method in self.methods


def resolve_spread(benchmark: Benchmark, seeds: tuple[int, ...] | None) -> Spread:
    """seeds: of --teacher-spread."""
    own = benchmark.teacher_spread
    if seeds is not None:
        return Spread(seeds, own.methods if own else ())
    return Spread(own.seeds, own.methods) if own else Spread()


def resolve_seeding(benchmark: Benchmark, teachers: str | None, scenarios: str | None) -> Seeding:
    """teachers, scenarios: of --teacher-seeds and --scenario-seeds. UserError for what is no such rule."""
    given = (("--teacher-seeds", teachers, TEACHER_SEEDS), ("--scenario-seeds", scenarios, SCENARIO_SEEDS))
    for option, value, known in given:
        if value is not None and value not in known:
            raise UnknownName("value", value, known, option)
    return Seeding(
        teachers=teachers or benchmark.teacher_seeds,
        scenarios=scenarios or benchmark.scenario_seeds,
        teacher_seed=benchmark.teacher_seed,
        own_teachers=benchmark.teacher_seeds,
        own_scenarios=benchmark.scenario_seeds,
    )

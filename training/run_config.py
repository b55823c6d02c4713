"""What a training depends on: ``config.json`` of a run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..envs import Policy, Scenario
from ..envs.names import near, unknown
from ..envs.options import as_spread
from ..envs.parameters import assign, check_count
from ..envs.scenarios.loader import build_scenario
from ..envs.scenarios.writer import in_words
from .common import engines, files, run_folder
from .common.hyperparameters import Settings, Table, check_tables, plain
from .common.information import Information, check_information
from .common.learners import Learners
from .common.memory import NONE, check_memory, check_use
from .common.ranges import CHECKS
from .task import Task

FORMAT = 1
"""of ``config.json``; a run without an entry ``format`` is of version 0.2 before there was one"""
_EQUILIBRIUM = "equilibrium"


class _Recorded(dict[str, Table]):
    """Hyperparameters that a run has recorded: they are complete, and its evaluation needs no library that learns."""


@dataclass(frozen=True)
class RunConfig:
    """All that a training depends on.

    Args:
        scenario: name of the scenario.
        values: its TOML values, overrides included.
        algorithm: one name, or one for each agent; ``"equilibrium"`` for an agent that does not learn.
        timesteps: joint market steps.
        steps: of an episode.
        information: of the actors.
        history: number of observations that actors see, the newest last; see :mod:`.common.memory`.
        memory: of the actors: ``"none"``, or the recurrent unit before their layers, ``"lstm"`` or ``"gru"``, whichever
            the engine has.
        inventory_spread: standard deviation of normal noise on the initial inventories of every episode of the
            training, in shares; see :class:`~makertaker.envs.Options`. A run with one is evaluated over random starts
            as well.
        markets: played at once; None: the algorithms' own number, the smallest if they differ.
        seed: of everything.
        checkpoints: number of checkpoints during the training.
        engine: name of the library that learns, of :data:`.engines.ENGINES`.
        runners: processes that play, where the engine has some; 0: the one that learns.
        hyperparameters: tables by name of an algorithm or, for what is another agent's, of an agent:
            ``{"ppo": {"gamma": 0.99}, "trader_0": {"learning_rate": [1e-3, 1e-4]}}``. What is left out is the
            default; all that is learned with is filled in.

    Raises:
        ValueError: a number is out of its range; an algorithm, agent or hyperparameter is unknown.

    Examples:
        >>> from makertaker.envs import load_scenario
        >>> from makertaker.envs.scenarios.writer import game_values
        >>> from makertaker.training.run_config import RunConfig
        >>> config = RunConfig("acas", game_values(load_scenario("acas")), timesteps=40_000, seed=1)
        >>> config.algorithm, config.steps
        ('ppo', 20)
    """

    scenario: str
    values: Mapping[str, object]
    algorithm: str | Mapping[str, str] = "ppo"
    timesteps: int = 160_000
    steps: int = 20
    information: Information = "time"
    markets: int | None = None
    seed: int = 0
    checkpoints: int = 4
    engine: str = "sb3"
    runners: int = 0
    hyperparameters: Mapping[str, Table] = field(default_factory=dict)
    inventory_spread: float = 0.0
    history: int = 1
    memory: str = NONE

    def __post_init__(self) -> None:
        assign(self, **self._plain())
        engine = engines.find(self.engine)
        engine.check_memory(self.engine, self.history, self.memory)
        if self.history > 1 or self.memory != NONE:
            check_use(self.load().game, self.steps, self.information, self.history, self.memory)
        if self.runners and not engine.distributed:
            raise ValueError(f"runners: expected 0 with engine {self.engine!r}, got {self.runners}")
        if not isinstance(self.algorithm, str) and set(self.algorithm.values()) == {_EQUILIBRIUM}:
            raise ValueError(f"algorithm: expected at least one agent that learns, got {_EQUILIBRIUM!r} for all")
        names = {self.algorithm} if isinstance(self.algorithm, str) else {*self.algorithm.values()} - {_EQUILIBRIUM}
        recorded = isinstance(self.hyperparameters, _Recorded) and names <= set(self.hyperparameters)
        if recorded and self.markets is not None:
            assign(self, hyperparameters=_plain_tables(self.hyperparameters))
            return
        found = self._settings()
        assign(self, hyperparameters={name: each.hyperparameters() for name, each in found.items()})
        if self.markets is None:
            assign(self, markets=min(each.markets for each in found.values()))

    def _plain(self) -> dict[str, object]:
        """The fields but for hyperparameters as ``config.json`` holds them: Python's own numbers and texts."""
        if not isinstance(self.values, Mapping):
            raise ValueError(f"values: expected the contents of a scenario file, got {self.values!r}")
        counts = {"timesteps": 1, "steps": 1, "checkpoints": 1, "seed": 0, "runners": 0, "history": 1}
        if self.markets is not None:
            counts["markets"] = 1
        return {
            "scenario": _text("scenario", self.scenario),
            "engine": _text("engine", self.engine),
            "information": str(check_information(self.information)),
            "algorithm": _names(self.algorithm),
            "values": in_words(self.values),
            "memory": check_memory(self.memory),
            "inventory_spread": as_spread(self.inventory_spread),
            **{name: check_count(name, getattr(self, name), least=least) for name, least in counts.items()},
        }

    @classmethod
    def of(cls, scenario: Scenario, algorithm: str, steps: int | None, engine: str, /, **settings: Any) -> RunConfig:
        """The training of a scenario with an algorithm as on the command line.

        Args:
            scenario: gives the name and the values.
            algorithm: see :func:`parse_algorithm`.
            steps: of an episode; None: the scenario's.
            engine: the library that learns.
            settings: the other fields.

        Raises:
            ValueError: an unknown agent or algorithm, or a number is out of its range.
        """
        names = parse_algorithm(algorithm, scenario.game.agents, engine)
        steps = scenario.steps if steps is None else steps
        return cls(scenario.name, dict(scenario.values), names, steps=steps, engine=engine, **settings)

    def with_seed(self, seed: int) -> RunConfig:
        """The same with another seed; both share the task, whose equilibrium is solved once."""
        result = replace(self, seed=seed)
        result.__dict__["task"] = self.task
        return result

    def document(self) -> dict[str, object]:
        """The contents of ``config.json``."""
        return {"format": FORMAT, **asdict(self)}

    def load(self) -> Scenario:
        """The scenario. Raises ValueError as :func:`~makertaker.envs.read_scenario` does."""
        return build_scenario(self.scenario, self.values)

    @cached_property
    def task(self) -> Task:
        """The game, its grid, and its equilibrium, solved once; or random markets. Raises ValueError as :meth:`load`
        does."""
        return Task(self.load(), self.steps, random=True)

    def algorithms(self) -> dict[str, str]:
        """Names of the algorithms, by agent that learns. Raises ValueError for unknown agents."""
        return _by_learner(self.algorithm, self.task.game.agents)

    def settings(self) -> dict[str, Settings]:
        """The algorithms with their hyperparameters, by agent that learns. Raises ValueError for unknown agents."""
        found = self._settings()
        return {agent: found.get(agent, found[name]) for agent, name in self.algorithms().items()}

    def _settings(self) -> dict[str, Settings]:
        """By algorithm, and by agent that has a table of its own."""
        engine, tables = engines.find(self.engine), check_tables(self.hyperparameters)
        names = [self.algorithm] if isinstance(self.algorithm, str) else self.algorithm.values()
        found = {
            name: engine.algorithm(name, self.memory).changed(tables.get(name, {}), name)
            for name in dict.fromkeys(names)
            if name != _EQUILIBRIUM or isinstance(self.algorithm, str)
        }
        if len(found) > 1 and not engine.individual:
            raise ValueError(f"algorithm: with engine {self.engine!r} expected one for all, got {list(found)}")
        if own := [name for name in tables if name not in found]:
            learners = self.algorithms() if engine.individual else {}
            for name in own:
                if name not in learners:
                    raise unknown("name", name, [*found, *learners], " in hyperparameters", some=True)
            found |= {agent: found[learners[agent]].changed(tables[agent], agent) for agent in own}
        return found

    def fixed(self) -> dict[str, Policy]:
        """Policies of the agents that do not learn: those of the equilibrium."""
        if isinstance(self.algorithm, str) or _EQUILIBRIUM not in self.algorithm.values():
            return {}
        if self.task.random is not None:
            raise ValueError(
                f"algorithm: expected everybody to learn in random markets, each of which has an equilibrium of its "
                f"own, got {_EQUILIBRIUM!r}"
            )
        policies = self.task.equilibrium.open_loop()
        return {agent: policies[agent] for agent, name in self.algorithm.items() if name == _EQUILIBRIUM}

    def learners(self, tensorboard: Path | None = None, address: str | None = None) -> Learners:
        """Fresh learners, to be closed after use. Raises ValueError for a bad configuration."""
        engine = engines.find(self.engine)
        if address is not None and not engine.distributed:
            raise ValueError(f"address: expected none with engine {self.engine!r}, got {address!r}")
        own = {name: getattr(self, name) for name in ("steps", "information", "markets", "seed", "inventory_spread")}
        if engine.remembers:
            own |= {"history": self.history, "memory": self.memory}
        shared = {"game": self.task.random or self.task.game, "fixed": self.fixed(), **own}
        return engine.build(
            engines.Training(self.settings(), self.timesteps, self.runners, address, tensorboard, shared)
        )


def _plain_tables(tables: Mapping[str, Table]) -> dict[str, dict[str, object]]:
    """Tables with checked values. Raises ValueError for a hyperparameter that no algorithm has, and for a bad value."""
    for name, table in check_tables(tables).items():
        for key in table:
            if key not in CHECKS:
                raise unknown("hyperparameter", key, CHECKS, f" of {name}", some=True)
    return {
        name: {key: plain(CHECKS[key](f"hyperparameter {name}.{key}", value)) for key, value in table.items()}
        for name, table in tables.items()
    }


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a name, got {value!r}")
    return str(value)  # NumPy's texts are a kind of their own


def _names(algorithm: object) -> str | dict[str, str]:
    if not isinstance(algorithm, str | Mapping) or not algorithm:
        raise ValueError(f"algorithm: expected a name, or names by agent, got {algorithm!r}")
    if isinstance(algorithm, str):
        return str(algorithm)
    return {_text("algorithm", agent): _text(f"algorithm.{agent}", name) for agent, name in algorithm.items()}


def parse_algorithm(text: str, agents: tuple[str, ...], engine: str = "sb3") -> str | dict[str, str]:
    """``"ppo"``, or ``"trader_0=sac,maker_0=ppo,maker_1=equilibrium"``; agents not named get ``"ppo"``.

    Spaces around names, ``=`` and commas mean nothing.

    Raises:
        ValueError: an unknown agent or algorithm, or an agent is named twice.
    """
    check = engines.find(engine).algorithm
    if "=" not in text:
        check(text.strip())
        return text.strip()
    named: dict[str, str] = {}
    for part in text.split(","):
        agent, name = (each.strip() for each in part.partition("=")[::2])
        if agent not in agents:
            raise unknown("agent", agent, agents, " in algorithm")
        if agent in named:
            raise ValueError(f"algorithm: expected one for each agent, got {named[agent]!r} and {name!r} for {agent!r}")
        if name != _EQUILIBRIUM:
            check(name)
        named[agent] = name
    return dict.fromkeys(agents, "ppo") | named


def _by_learner(algorithm: str | Mapping[str, str], agents: tuple[str, ...]) -> dict[str, str]:
    if isinstance(algorithm, str):
        return dict.fromkeys(agents, algorithm)
    for agent in algorithm:
        if agent not in agents:
            raise unknown("agent", agent, agents, " in algorithm")
    return {agent: name for agent, name in algorithm.items() if name != _EQUILIBRIUM}


def product(
    scenarios: Sequence[Scenario],
    algorithms: Sequence[str],
    seeds: Sequence[int],
    steps: int | None,
    *,
    hyperparameters: Mapping[str, Table],
    engine: str = "sb3",
    **settings: Any,
) -> list[RunConfig]:
    """Trainings of all scenarios with all algorithms and all seeds.

    Args:
        scenarios: the markets.
        algorithms: each as of :func:`parse_algorithm`.
        seeds: of the trainings.
        steps: of an episode; None: the scenario's.
        hyperparameters: see :class:`RunConfig`; a table is of the trainings that have its algorithm or agent.
        engine: the library that learns.
        settings: other fields.

    Raises:
        ValueError: as :class:`RunConfig` does; or a table is of no training.
    """
    configs, known = [], dict[str, None]()
    for scenario in scenarios:
        for text in algorithms:
            agents = scenario.game.agents
            learners = _by_learner(parse_algorithm(text, agents, engine), agents)
            names = dict.fromkeys([*learners.values(), *learners])
            known |= names
            tables = {name: table for name, table in hyperparameters.items() if name in names}
            own = {**settings, "hyperparameters": tables}
            configs += [RunConfig.of(scenario, text, steps, engine, seed=seed, **own) for seed in seeds]
    for name in hyperparameters:
        if name not in known:
            raise unknown("name", name, known, " in hyperparameters", some=True)
    return configs


def alike(config: RunConfig) -> str:
    """All of a configuration but its seed, as text: trainings of one text differ in their seeds alone."""
    return json.dumps({**config.document(), "seed": None}, sort_keys=True)


def load_config(out: str | Path) -> RunConfig:
    """The configuration of a run. Raises ValueError where there is none, or it cannot be read."""
    folder = Path(out)
    path = folder / "config.json"
    if run_folder.begun(folder):
        with run_folder.locked(folder):
            run_folder.settle(folder)
    if not path.is_file():
        inside = sorted(each.name for each in folder.glob("seed-*") if (each / "config.json").is_file())
        one = f": expected one of the runs in it, {', '.join(inside)}" if inside else meant(folder)
        raise ValueError(f"run: {str(out)!r} is not a run directory, it has no config.json{one}")
    found = files.read_json(path)
    try:
        return _read(found)
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"run: {str(path)!r} cannot be read: {error}") from error


def meant(folder: Path) -> str:
    """``": did you mean 'runs/acas'?"``, of trainings beside a path where nothing is, if one is near."""
    if folder.exists() or not folder.parent.is_dir():
        return ""
    signs = ("config.json", "seeds.json", "sweep.json")
    try:
        beside = [folder.parent / each for each in near(folder.name, [each.name for each in folder.parent.iterdir()])]
        found = [str(each) for each in beside if any((each / sign).is_file() for sign in signs)]
    except OSError:  # what cannot be listed suggests nothing
        return ""
    return f": did you mean {' or '.join(map(repr, found))}?" if found else ""


def _read(found: dict[str, Any]) -> RunConfig:
    """The configuration of a file's entries. Raises TypeError or ValueError where they are of something else."""
    written = check_count("format", found.pop("format", 0), least=0)
    if written > FORMAT:
        raise ValueError(
            f"format: a later version of makertaker wrote this run; expected at most {FORMAT}, got {written}"
        )
    if not isinstance(found.get("values"), dict):
        raise TypeError(f"values: expected a table, got {found.get('values')!r}")
    if found.get("hyperparameters"):
        found["hyperparameters"] = _Recorded(check_tables(found["hyperparameters"]))
    return RunConfig(**found)

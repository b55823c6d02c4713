"""Results of a suite as files: one row a run, one a run and agent, one a run and evaluation, and marl-eval's JSON.

==================  ===============================================================================================
``runs.csv``        what identifies a run, its numbers, its seconds, and the versions and machine that made it
``agents.csv``      every agent's payoffs, gains and distances
``curves.csv``      relative NashConv over training
``marl_eval.json``  the same curves as the library marl-eval reads them: by environment, task, algorithm and seed
``suite.json``      what the suite is
==================  ===============================================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from ..common import files
from ..many import Row
from ..record import Circumstances, load_circumstances, load_history
from ..run_config import alike
from .suites import Suite, Training

DONE, FAILED = "done", "failed"
_METRICS = (
    *("nash_conv", "relative_nash_conv", "relative_nash_conv_se", "open_loop_relative_nash_conv"),
    *("control_distance", "inventory_distance", "collusion_index", "exploitability_against"),
)
"""of ``metrics.json``"""
_AGENTS = ("learned", "equilibrium", "gap", "exploitability", "control_distance", "inventory_distance")
_MACHINE = ("commit", "dirty", "python", "platform", "processor", "cores")
_ENVIRONMENT = "makertaker"
"""marl-eval's name for all markets together"""

Table = list[list[object]]


class _Written(TypedDict):
    """What is read from the folder of a finished training."""

    circumstances: Circumstances
    history: Any


def write_results(suite: Suite, rows: Sequence[Row], runs: Path, out: Path) -> None:
    """Write the files.

    Args:
        suite: that was asked for.
        rows: of its trainings, as far as they are told of.
        runs: the folder of the run directories.
        out: the folder of the files; it is made.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = {row.name: _written(row, runs) for row in rows}
    files.write_csv(out / "runs.csv", _as_table([_run(row, suite, found[row.name]) for row in rows]))
    files.write_csv(out / "agents.csv", _agents(rows))
    files.write_csv(out / "curves.csv", _curves(found))
    files.write_json(out / "marl_eval.json", marl_eval(suite, rows, found))
    files.write_json(out / "suite.json", {"name": suite.name, "about": suite.about, "along": suite.along})


def _written(row: Row, runs: Path) -> _Written | None:
    if row.metrics is None:
        return None
    folder = runs / row.name
    return {"circumstances": load_circumstances(folder), "history": load_history(folder)}


def _as_table(rows: Sequence[Mapping[str, object]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [list(names), *([row.get(name) for name in names] for row in rows)]


def _run(row: Row, suite: Suite, written: _Written | None) -> dict[str, object]:
    config, training = row.config, suite.trainings[row.name]
    metrics: Mapping[str, Any] = {} if row.metrics is None else row.metrics
    feedback, starts = metrics.get("feedback") or {}, metrics.get("random_starts") or {}
    made: Mapping[str, Any] = {} if written is None else written["circumstances"]
    game = config.load().game
    return {
        **{"run": row.name, "name": learner_name(suite, training)},
        **{"market": training.market, "scenario": config.scenario, "agents": len(game.agents), "steps": config.steps},
        **{"engine": config.engine, "learner": training.learner, "information": config.information},
        **{"history": config.history, "memory": config.memory, "inventory_spread": config.inventory_spread},
        **{"timesteps": config.timesteps, "markets": config.markets, "seed": config.seed},
        "configuration": hashlib.sha256(alike(config).encode()).hexdigest()[:12],
        **{"status": DONE if metrics else FAILED, "note": row.note},
        **{name: metrics.get(name) for name in _METRICS},
        "random_starts_relative_nash_conv": starts.get("relative_nash_conv"),
        "feedback_control_distance": feedback.get("control_distance"),
        "reaction_distance": feedback.get("reaction_distance"),
        "feedback_collusion_index": feedback.get("collusion_index"),
        "equilibrium": "; ".join(row.notes),
        "seconds": row.seconds,
        "metrics": hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()[:12] if metrics else None,
        **{name: made.get(name) for name in _MACHINE},
        "versions": " ".join(f"{name}={version}" for name, version in made.get("versions", {}).items()),
    }


def _agents(rows: Sequence[Row]) -> Table:
    header: list[object] = ["run", "agent", *_AGENTS]
    return [header] + [
        [row.name, agent, *(found[name] for name in _AGENTS)]  # type: ignore[literal-required]
        for row in rows
        if row.metrics is not None
        for agent, found in row.metrics["agents"].items()
    ]


def _curves(found: Mapping[str, _Written | None]) -> Table:
    header: list[object] = ["run", "timesteps", "relative_nash_conv"]
    return [header] + [
        [name, int(steps), float(relative)]
        for name, written in found.items()
        if written is not None
        for steps, _, relative in written["history"]
    ]


def marl_eval(suite: Suite, rows: Sequence[Row], found: Mapping[str, Any]) -> dict[str, Any]:
    """Curves of finished runs as marl-eval has them (Gorsane et al., NeurIPS 2022): by environment, task, algorithm and
    ``seed_K``; ``step_I`` with ``step_count``, ``elapsed_time`` in seconds, and lists of a metric's values, of which
    there is one here; ``absolute_metrics`` are those at the end."""
    document: dict[str, Any] = {}
    for row in rows:
        written = found[row.name]
        if row.metrics is None or written is None:
            continue
        training, history = suite.trainings[row.name], written["history"]
        seconds = written["circumstances"]["seconds"]
        run: dict[str, Any] = {
            f"step_{i}": {
                "step_count": int(steps),
                "elapsed_time": float(seconds * steps / history[-1, 0]),
                "relative_nash_conv": [float(relative)],
            }
            for i, (steps, _, relative) in enumerate(history)
        }
        run["absolute_metrics"] = {"relative_nash_conv": [row.metrics["relative_nash_conv"]]}
        market = training.market if suite.along is None else f"{training.market}, {suite.along} {along_of(suite, row)}"
        task = document.setdefault(_ENVIRONMENT, {}).setdefault(market, {})
        task.setdefault(learner_name(suite, training), {})[f"seed_{row.config.seed}"] = run
    return document


def along_of(suite: Suite, row: Row) -> int:
    """The number of a run that the suite's figure has on its horizontal axis."""
    config = row.config
    return len(config.load().game.agents) if suite.along == "agents" else int(getattr(config, str(suite.along)))


def learner_name(suite: Suite, training: Training) -> str:
    """What a learner is called in a suite: its algorithm, and whatever else is not the same in all trainings."""
    said = [_settings(each) for each in suite.trainings.values()]
    own = _settings(training)
    own.pop(suite.along or "", None)  # it is the figure's horizontal axis
    if suite.along is None and len({(each["market"], each["steps"]) for each in said}) == len(
        {each["market"] for each in said}
    ):
        del own["steps"]  # markets have their own grids
    del own["market"]
    varied = [name for name in own if len({each[name] for each in said}) > 1]
    return ", ".join([training.learner, *(own[name] for name in varied if own[name])])


def _settings(training: Training) -> dict[str, str]:
    """Settings of learners in words; an empty text for one that is not worth a word."""
    config = training.config
    return {
        "market": training.market,
        "engine": config.engine,
        "information": f"sees {config.information}",
        "history": f"history {config.history}" if config.history > 1 else "",
        "memory": config.memory if config.memory != "none" else "",
        "inventory_spread": f"spread {config.inventory_spread:g}" if config.inventory_spread else "",
        "timesteps": f"{config.timesteps:,} steps",
        "steps": f"K={config.steps}",
        **training.changed,
    }

"""Rows of anybody's learner beside a suite's: ``others.csv`` of its folder, which reports read as well."""

from __future__ import annotations

import platform
from pathlib import Path

from ...envs import text
from ...envs.parameters import check_count
from ..common import files
from ..evaluation.score import Score
from .results import DONE

OTHERS = "others.csv"
_KEYS = ("market", "name", "seed")
_SAME = 1e-6
"""relative difference of equilibrium payoffs that solvers leave"""
_METRICS = (
    *("nash_conv", "relative_nash_conv", "open_loop_relative_nash_conv", "control_distance", "inventory_distance"),
    *("collusion_index", "exploitability_against"),
)
COLUMNS = (
    *("run", "name", "market", "scenario", "agents", "steps", "learner", "timesteps", "seed", "status", "information"),
    *_METRICS,
    *("seconds", "python"),
)


def add_score(
    folder: str | Path,
    score: Score,
    *,
    learner: str,
    market: str,
    seed: int,
    timesteps: int,
    seconds: float | None = None,
) -> Path:
    """Add a row to a suite's results; ``makertaker benchmark --suite NAME --report`` then shows it beside the others.

    A row of the same learner, market and seed is replaced.

    Args:
        folder: of the suite, ``results/NAME``.
        score: of what was learned; see :func:`~makertaker.training.score`.
        learner: its name in tables and figures.
        market: as the suite names it, a scenario in most cases.
        seed: of the training.
        timesteps: joint market steps of the training.
        seconds: that it took; None: unknown.

    Returns:
        the file.

    Raises:
        ValueError: there are no results, a number is out of its range, or the score is of another market than that of
            this name in the suite.
    """
    folder = Path(folder)
    if not (folder / "runs.csv").is_file():
        raise ValueError(f"folder: expected the results of a suite, {text.shown(str(folder))!r} has no runs.csv")
    if not isinstance(score, Score):
        raise ValueError(f"score: expected what makertaker.training.score returns, got {score!r:.100}")
    for what, given in (("learner", learner), ("market", market)):
        if not isinstance(given, str) or not given.strip():
            raise ValueError(f"{what}: expected a name, got {given!r}")
    if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds < float("inf")):
        raise ValueError(f"seconds: expected a number >= 0, got {seconds!r}")
    if learner in (row[1] for row in files.read_csv(folder / "runs.csv")[1:] if len(row) > 1):
        raise ValueError(f"learner: expected another name than the suite's own, got {learner!r}")
    check_count("seed", seed, least=0)
    check_count("timesteps", timesteps, least=1)
    _check_market(folder, score, market)
    metrics = score.metrics
    told: dict[str, object] = {
        **{"run": f"{market}-{learner}-{seed}", "name": learner, "market": market, "learner": learner},
        **{
            "scenario": market,
            "agents": len(score.agents),
            "steps": metrics["steps"],
            "information": metrics["information"],
        },
        **{"timesteps": timesteps, "seed": seed, "status": DONE, "seconds": seconds},
        **{name: metrics[name] for name in _METRICS},  # type: ignore[literal-required]
        "python": platform.python_version(),
    }
    path = folder / OTHERS
    header, *rows = (files.read_csv(path) if path.is_file() else []) or [list(COLUMNS)]
    if header != list(COLUMNS) or any(len(row) != len(COLUMNS) for row in rows):
        raise ValueError(
            f"folder: {text.shown(str(path))!r} is damaged or of another version: expected {list(COLUMNS)}"
        )
    key = [str(told[name]) for name in _KEYS]
    kept = [row for row in rows if [row[COLUMNS.index(name)] for name in _KEYS] != key]
    files.write_csv(path, [COLUMNS, *kept, [told[name] for name in COLUMNS]])
    return path


def _check_market(folder: Path, score: Score, market: str) -> None:
    """Raises ValueError where the suite has a market of this name, and the score is of another."""
    rows = files.read_csv(folder / "runs.csv")
    runs = [row for row in (dict(zip(rows[0], each, strict=False)) for each in rows[1:]) if row["market"] == market]
    for name, own in (("agents", len(score.agents)), ("steps", score.metrics["steps"])):
        known = {row[name] for row in runs}
        if runs and str(own) not in known:
            raise ValueError(f"market: {market!r} has {' or '.join(sorted(known))} {name}, the score is of {own}")
    path = folder / "agents.csv"
    if not path.is_file():
        return
    header, *others = files.read_csv(path)
    names = {row["run"] for row in runs if row["steps"] == str(score.metrics["steps"])}
    for row in (dict(zip(header, each, strict=False)) for each in others):
        if row["run"] in names:
            found = score.metrics["agents"].get(row["agent"])
            paid = float(row["equilibrium"])
            if found is None or abs(found["equilibrium"] - paid) > _SAME * max(abs(paid), 1.0):
                raise ValueError(
                    f"market: in {market!r} {row['agent']} has the equilibrium payoff {paid:.6g}, the score is of "
                    "another market"
                )

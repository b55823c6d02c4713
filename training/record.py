"""What a training writes while it goes on, and how far it came: history, circumstances, checkpoints."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict, cast

import numpy as np

from .common import checkpoint_folder, engines, files
from .common.extras import needed
from .common.learners import Learners
from .common.provenance import Origin, origin
from .evaluation.standings import Standing, Standings
from .run_config import RunConfig

if TYPE_CHECKING:  # PyTorch may be missing
    from .logs import Logs

_EVALUATIONS, _AGAINST_NOISE = 40, 10
"""of a training; in a random game, where one takes a second"""
_MUCH = 2**53
"""steps or seconds that no training has"""
_HISTORY = ("timesteps", "nash_conv", "relative_nash_conv")
_GAIN = "gain_"
"""before the name of an agent: a column of the history that not all have"""


class Circumstances(Origin):
    """A training beside its result: when, how long, how far, with what."""

    finished: str
    seconds: float
    joint_market_steps: int
    complete: NotRequired[bool]
    """True where training came to its end, not only to its last step"""


class Past(TypedDict):
    """A training up to a checkpoint."""

    history: list[tuple[int, float, float]]
    gains: NotRequired[list[list[float]]]
    """every agent's, for each row of the history; those of older files have none"""
    seconds: float
    circumstances: NotRequired[Circumstances]


def as_past(extra: Mapping[str, object]) -> Past:
    """What a checkpoint kept of its training."""
    return cast(Past, extra)


class Reached(NamedTuple):
    """A training as far as it came."""

    models: Path
    history: np.ndarray
    circumstances: Circumstances
    gains: np.ndarray | None
    """(rows, n) every agent's gain by a best response, in currency; None where they were not recorded"""


@dataclass
class _History:
    """NashConv over training, from evaluations without exploration."""

    learners: Learners
    standings: Standings
    log: Logs
    timesteps: int
    rows: list[tuple[int, float, float]]
    gains: list[list[float]]
    """every agent's, in currency, for each row"""

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents."""
        return self.learners.game.agents

    def table(self) -> list[list[object]]:
        """As a file has it, a header first."""
        header: list[object] = [*_HISTORY, *(f"{_GAIN}{agent}" for agent in self.agents)]
        rows: list[list[object]] = [[*row, *each] for row, each in zip(self.rows, self.gains, strict=True)]
        return [header, *rows]

    def due(self, done: int) -> bool:
        """True if it is time to evaluate after so many joint market steps."""
        count = _AGAINST_NOISE if self.learners.game.random else _EVALUATIONS
        return not self.rows or done >= self.rows[-1][0] + max(1, self.timesteps // count)

    def add(self, done: int, *, last: bool = False, found: Standing | None = None) -> None:
        """Evaluate if it is time; at last, in place of a row from before the last gradient step.

        A best response that is not found leaves a gap, marked by NaN.

        Args:
            done: joint market steps.
            last: True at the end of the training.
            found: the standing now; None: it is computed.
        """
        if last and self.rows and self.rows[-1][0] == done:
            self.rows.pop()
            self.gains.pop()
        elif not last and not self.due(done):
            return
        found = self.standings(self.learners.policies(self.standings.context)) if found is None else found
        self.rows.append((done, found.nash_conv, found.relative_nash_conv))
        self.gains.append([found.agents[agent].gain for agent in self.agents])
        if last or done < self.timesteps:  # otherwise one after the last gradient step takes its place
            self.log.write(done, found)


def origin_of(config: RunConfig) -> Origin:
    """What a training in this process is computed with."""
    return origin(engines.find(config.engine).packages)


class Record:
    """What one training writes into its folder while it goes on.

    Args:
        config: of the training.
        learners: that it trains.
        out: the folder.
        past: up to now.
        standings: of its game.
        log: beside the folder.
        source: what it is computed with; None: it is looked up.
    """

    def __init__(
        self,
        config: RunConfig,
        learners: Learners,
        out: Path,
        past: Past,
        standings: Standings,
        log: Logs,
        source: Origin | None = None,
    ) -> None:
        self.learners, self._config, self._out = learners, config, out
        self._source = source or origin_of(config)  # now: files may change while this trains
        self._started = time.perf_counter() - past["seconds"]
        self._before, self._place = learners.steps_done, os.stat(out)
        rows, unknown = list(past["history"]), [math.nan] * len(learners.game.agents)
        gains = list(past.get("gains", [unknown] * len(rows)))  # of an older version there are none
        self.history = _History(learners, standings, log, config.timesteps, rows, gains)
        self._chunk = -(-config.timesteps // config.checkpoints)
        if not self.complete:
            (out / "report.html").unlink(missing_ok=True)  # it would speak of an earlier state

    @property
    def complete(self) -> bool:
        """True where all steps are done."""
        return self.learners.steps_done >= self._config.timesteps

    @property
    def until(self) -> int:
        """Joint market steps of the next checkpoint."""
        return min(self._config.timesteps, (self.learners.steps_done // self._chunk + 1) * self._chunk)

    @property
    def gain(self) -> float:
        """The latest relative NashConv; NaN before the first, and where it was not found."""
        return self.history.rows[-1][2] if self.history.rows else math.nan

    def checkpoint(self) -> None:
        """Write the checkpoint."""
        now: Past = {
            "history": self.history.rows,
            "gains": self.history.gains,
            "seconds": time.perf_counter() - self._started,
            "circumstances": self._circumstances(complete=False),
        }
        _check_stays(self._out, self._place)
        self.learners.save_checkpoint(self._out / "checkpoint", now)

    def save(self, complete: bool) -> None:
        """Write what was learned, and its record."""
        _check_stays(self._out, self._place)
        if self.learners.steps_done > self._before:
            (self._out / "metrics.json").unlink(missing_ok=True)  # of the models so far
        (self._out / "run.json").unlink(missing_ok=True)  # written last: it stands for what comes before it
        (self._out / "models").mkdir(exist_ok=True)
        self.learners.save_models(self._out / "models")
        files.write_csv(self._out / "history.csv", self.history.table())
        files.write_json(self._out / "run.json", self._circumstances(complete))

    def _circumstances(self, complete: bool) -> Circumstances:
        return {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._started, 2),
            "joint_market_steps": self.learners.steps_done,
            "complete": complete,
            **self._source,
        }


def _check_stays(out: Path, place: os.stat_result) -> None:
    """Raises ValueError where a folder is not the one that it was: what is written would be parted from the rest."""
    with suppress(OSError):
        if os.path.samestat(os.stat(out), place):
            return
    raise ValueError(f"run: {str(out)!r} was moved or removed meanwhile; where it is now, --resume goes on with it")


def load_history(out: str | Path) -> np.ndarray:
    """Timesteps, NashConv and relative NashConv over training, (rows, 3). Raises ValueError where there is none."""
    return _read_history(Path(out) / "history.csv")[:, : len(_HISTORY)]


def load_gains(out: str | Path) -> np.ndarray | None:
    """Every agent's gain by a best response over training, in currency, (rows, n); NaN where none was found.

    None where a run's history, of an earlier version, does not have them. Raises ValueError where there is none.
    """
    return _gains_of(_read_history(Path(out) / "history.csv"))


def _gains_of(table: np.ndarray) -> np.ndarray | None:
    return table[:, len(_HISTORY) :] if table.shape[1] > len(_HISTORY) else None


def _read_history(path: Path) -> np.ndarray:
    """A history's numbers, (rows, 3 + n); without gains (rows, 3)."""
    try:
        header, *written = files.read_csv(path) or [[]]
        known = len(_HISTORY)
        if header[:known] != list(_HISTORY) or not all(name.startswith(_GAIN) for name in header[known:]):
            raise ValueError(f"expected columns {list(_HISTORY)}, got {header}")
        rows = [[float(value) for value in row] for row in written]
    except (OSError, ValueError) as error:
        raise ValueError(f"run: {str(path)!r} is missing or cannot be read: {error}") from error
    return _as_history(rows, path, len(header))


def _as_history(rows: Sequence[Sequence[float]], path: Path, columns: int) -> np.ndarray:
    if not rows:
        raise ValueError(f"run: {str(path)!r} is empty: the training ended before its first episode; try --resume")
    if any(len(row) != columns for row in rows):
        raise ValueError(f"run: {str(path)!r} cannot be read: expected {columns} numbers in each row")
    try:
        table = np.array(rows, dtype=float)
    except OverflowError as error:
        raise ValueError(f"run: {str(path)!r} cannot be read: {error}") from error
    if not np.isfinite(table[:, 0]).all():
        raise ValueError(f"run: {str(path)!r} cannot be read: expected finite timesteps")
    return table


def load_circumstances(out: str | Path) -> Circumstances:
    """Versions, machine, and the steps of a training. Raises ValueError where there is no record of it."""
    path = Path(out) / "run.json"
    return _as_circumstances(files.read_json(path), path)


def _as_circumstances(found: dict[str, Any], path: Path) -> Circumstances:
    checked: Circumstances = needed("common.schema", "train").checked(found, Circumstances, path)
    for name in ("joint_market_steps", "seconds"):
        value = checked[name]
        if not 0 <= value < _MUCH:
            raise ValueError(f"run: {str(path)!r} cannot be read: {name}: expected a number >= 0, got {value!r:.30}")
    return checked


def reached(out: Path) -> Reached:
    """How far a training came: what its end or an interrupt left or, where it was killed later, its checkpoint."""
    ended = load_circumstances(out) if (out / "run.json").exists() else None
    saved = checkpoint_folder.record(out / "checkpoint")
    if saved is None or (ended is not None and saved["steps_done"] <= ended["joint_market_steps"]):
        return Reached(out / "models", load_history(out), load_circumstances(out), load_gains(out))
    folder = saved["folder"]
    past: Past = needed("common.schema", "train").checked(saved["extra"], Past, f"{folder}, its record")
    history = _as_history(past["history"], folder, len(_HISTORY))
    gains = past.get("gains")
    if gains is not None and (len(gains) != len(history) or len({len(each) for each in gains}) > 1):
        raise ValueError(f"run: the record of checkpoint {str(folder)!r} cannot be read: gains do not fit the history")
    if "circumstances" not in past:
        raise ValueError(f"run: the record of checkpoint {str(folder)!r} cannot be read: circumstances are missing")
    circumstances = _as_circumstances({**past["circumstances"]}, folder)
    return Reached(folder, history, circumstances, None if gains is None else np.array(gains, dtype=float))

"""What the files of a suite say: medians, means and probabilities with intervals, and curves on common steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...envs import text
from ...envs.arrays import Array
from ..common import files
from . import statistics
from .foreign import OTHERS
from .results import DONE
from .suites import ALONG

GAIN = "relative_nash_conv"
ENOUGH = 10
"""seeds that a published number has"""
_COLUMNS = ("run", "name", "market", "status", "agents", "steps", "timesteps", "seed", "seconds", GAIN)
_NUMBERS = ("agents", "steps", "timesteps", "seed", GAIN)
_CURVES = ("run", "timesteps", GAIN)
_MEDIANS = (
    *("open_loop_relative_nash_conv", "random_starts_relative_nash_conv", "control_distance"),
    *("collusion_index", "feedback_collusion_index", "reaction_distance", "seconds"),
)


@dataclass(frozen=True)
class Results:
    """The files of a suite."""

    name: str
    about: str
    along: str | None
    runs: pd.DataFrame
    curves: pd.DataFrame
    own: Sequence[str]
    """the suite's own learners: the others' are put beside them where they have done the same markets"""

    @property
    def done(self) -> pd.DataFrame:
        """Runs that came to their end and have a score."""
        return self.runs[(self.runs["status"] == DONE) & self.runs[GAIN].notna()]

    @property
    def learners(self) -> list[str]:
        """Names, in the order of the suite."""
        return list(dict.fromkeys(self.runs["name"]))

    @property
    def markets(self) -> list[str]:
        """Names, in the order of the suite."""
        return list(dict.fromkeys(self.runs["market"]))

    @cached_property
    def cells(self) -> dict[tuple[str, str, int], pd.DataFrame]:
        """Finished runs by market, learner and, where the suite has a figure along a number, that number; else 0."""
        found: dict[tuple[str, str, int], pd.DataFrame] = {}
        for market, name, along in self._keys():
            chosen = self.done[(self.done["market"] == market) & (self.done["name"] == name)]
            if self.along is not None:
                chosen = chosen[chosen[self.along] == along]
            if len(chosen):
                found[market, name, along] = chosen
        return found

    def _keys(self) -> Iterator[tuple[str, str, int]]:
        for market in self.markets:
            for name in self.learners:
                numbers = [0] if self.along is None else sorted({int(each) for each in self.runs[self.along]})
                yield from ((market, name, number) for number in numbers)

    @cached_property
    def samples(self) -> dict[str, list[Array]]:
        """Relative NashConv by learner: of each market, and number along, that all the suite's own have, (runs,)."""
        places = list(dict.fromkeys((m, a) for m, _, a in self.cells))
        scored = {name for _, name, _ in self.cells}
        own = [name for name in self.own if name in scored]  # one that failed everywhere takes nothing from the others
        common = [
            (market, along) for market, along in places if all((market, name, along) in self.cells for name in own)
        ]
        return {
            name: [self.cells[market, name, along][GAIN].to_numpy(float) for market, along in common]
            for name in self.learners
            if common and all((market, name, along) in self.cells for market, along in common)
        }

    @property
    def common(self) -> int:
        """Number of the markets that all learners have."""
        return len(next(iter(self.samples.values()), []))


def read_results(folder: str | Path) -> Results:
    """The files of a suite, with rows of others' learners; there may be no curves. Raises ValueError where another
    file is missing, or one cannot be read."""
    folder = Path(folder)
    suite = files.read_json(folder / "suite.json")
    if (along := suite.get("along")) not in (None, *ALONG):
        raise ValueError(
            f"results: {text.shown(str(folder / 'suite.json'))!r}: along: expected one of {ALONG}, got {along!r}"
        )
    runs = _read(folder / "runs.csv", _COLUMNS)
    own, others = list(dict.fromkeys(runs["name"])), folder / OTHERS
    if others.is_file():
        runs = pd.concat([runs, _read(others, _COLUMNS)], ignore_index=True)
    path = folder / "curves.csv"
    curves = _read(path, _CURVES) if path.is_file() else pd.DataFrame(columns=list(_CURVES))
    return Results(str(suite.get("name")), str(suite.get("about")), along, runs, curves, own)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A file of rows; names are texts, whatever they look like, and an empty number is NaN."""
    named = text.shown(str(path))
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"results: {named!r} cannot be read: {error}") from error
    if missing := [name for name in columns if name not in found]:
        raise ValueError(f"results: {named!r} has no columns {missing}")
    for name in [*_NUMBERS, *_MEDIANS]:
        if name in found:
            try:
                found[name] = pd.to_numeric(found[name].replace("", np.nan))
            except (TypeError, ValueError) as error:
                raise ValueError(f"results: {named!r}: {name}: expected numbers: {error}") from error
    if "status" in columns and (blank := [name for name in ("name", "market") if (found[name] == "").any()]):
        raise ValueError(f"results: {named!r}: {blank[0]}: expected names, got an empty one")
    return found.replace({GAIN: [np.inf, -np.inf]}, np.nan)


def _told(found: statistics.Interval, *names: str) -> dict[str, float | None]:
    """A number and the ends of its interval by name; None where there is none."""
    return {name: float(each) if np.isfinite(each) else None for name, each in zip(names, found, strict=True)}


def _median(values: pd.Series) -> float | None:
    return float(values.median()) if values.notna().any() else None


def market_rows(found: Results) -> list[dict[str, Any]]:
    """A row for each market and learner."""
    rows = []
    for (market, name, along), runs in found.cells.items():
        values = runs[GAIN].to_numpy(float)
        middle = statistics.interval([values], statistics.median)
        mean = statistics.interval([values])
        asked = found.runs[(found.runs["market"] == market) & (found.runs["name"] == name)]
        asked = asked if found.along is None else asked[asked[found.along] == along]
        medians = {
            key: float(runs[key].median()) if runs[key].notna().any() else None for key in _MEDIANS if key in runs
        }
        rows.append(
            {
                **{"market": market, "learner": name},
                **({} if found.along is None else {found.along: along}),
                **{"seeds": len(values), "failed": len(asked) - len(values)},
                **_told(middle, "median", "median_low", "median_high"),
                **_told(mean, "interquartile_mean", "low", "high"),
                "worst": float(values.max()),
                **medians,
            }
        )
    return rows


def learner_rows(found: Results) -> list[dict[str, Any]]:
    """A row for each learner over the markets that all of them have, the best first."""
    rows = []
    for name, samples in found.samples.items():
        mean, middle = statistics.interval(samples), statistics.interval(samples, statistics.median)
        rows.append(
            {
                **{"learner": name, "markets": len(samples), "runs": sum(map(len, samples))},
                "fewest": min(map(len, samples)),
                **_told(mean, "interquartile_mean", "low", "high"),
                **_told(middle, "median", "median_low", "median_high"),
                "worst": max(float(each.max()) for each in samples),
            }
        )
    return sorted(rows, key=lambda row: float(row["interquartile_mean"]))


def improvement_rows(found: Results, order: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each pair of learners."""
    return [
        {
            **{"learner": one, "other": two},
            **_told(statistics.improvement(found.samples[one], found.samples[two]), "probability", "low", "high"),
        }
        for one in order
        for two in order
        if one != two
    ]


def grid(found: Results, points: int = 60) -> dict[tuple[str, str], tuple[Array, Array]]:
    """Curves by market and learner on common steps: joint market steps (L,), relative NashConv (runs, L)."""
    curves = {str(run): each for run, each in found.curves.dropna().groupby("run", sort=False)}
    result = {}
    for (market, name, along), runs in found.cells.items():
        if found.along == "timesteps" and along != max(a for m, n, a in found.cells if (m, n) == (market, name)):
            continue  # the longest trainings alone
        own = [curves[run] for run in runs["run"] if run in curves and len(curves[run]) > 1]
        if own:
            first, last = (max(c["timesteps"].iloc[0] for c in own), min(c["timesteps"].iloc[-1] for c in own))
            steps = np.linspace(first, last, points)
            values = [np.exp(np.interp(steps, c["timesteps"], np.log(np.maximum(c[GAIN], 1e-12)))) for c in own]
            result[market, name] = (steps, np.stack(values))
    return result

"""The comparison with equilibria over markets that are drawn: means, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .metrics import AgentMetrics, Metrics

_MEANS = ("open_loop_nash_conv", "control_distance", "inventory_distance")
_OF_ONE = ("feedback", "exploitability_bounds", "random_starts")
"""parts of one market's comparison that have no mean"""


def over_draws(each: Sequence[Metrics]) -> Metrics:
    """Means over markets. Relative NashConv is the mean NashConv over the mean size of the equilibrium payoffs, its
    standard error that of a ratio of means (the delta method).

    Args:
        each: the comparison in every market, at least two.
    """
    conv, schedules = (np.array([one[name] for one in each]) for name in ("nash_conv", "open_loop_nash_conv"))
    agents: dict[str, AgentMetrics] = {
        name: _agent([one["agents"][name] for one in each]) for name in each[0]["agents"]
    }
    payoffs = np.array([[agent["equilibrium"] for agent in one["agents"].values()] for one in each])
    size = np.abs(payoffs).sum(axis=1)
    relative = float(conv.mean() / size.mean())
    result: Any = {**each[0], **{name: float(np.mean([one[name] for one in each])) for name in _MEANS}}  # type: ignore[literal-required]
    for name in _OF_ONE:
        result.pop(name, None)
    result |= {
        "agents": agents,
        "nash_conv": float(conv.mean()),
        "nash_conv_se": _error(conv),
        "relative_nash_conv": relative,
        "relative_nash_conv_se": _error(conv - relative * size) / float(size.mean()),
        "open_loop_relative_nash_conv": float(schedules.mean() / size.mean()),
        "collusion_index": None,
        "collusion_index_se": None,
        "equilibrium": {
            "residual": max(one["equilibrium"]["residual"] for one in each),
            "message": f"of {len(each)} markets",
            "notes": _notes(each),
        },
        "baselines": {},
        "drawn_markets": len(each),
    }
    return result  # type: ignore[no-any-return]


def _notes(each: Sequence[Metrics]) -> list[str]:
    """In how many markets there is something to know of the equilibrium, and what it is in the first of them."""
    noted = [one["equilibrium"]["notes"] for one in each if one["equilibrium"].get("notes")]
    return [f"in {len(noted)} of {len(each)} drawn markets, the first: {noted[0][0]}"] if noted else []


def _agent(each: Sequence[AgentMetrics]) -> AgentMetrics:
    rows: Any = each
    names = [name for name in rows[0] if not name.endswith("_se")]
    columns = {name: np.array([one[name] for one in rows]) for name in names}
    errors = {f"{name}_se": _error(columns[name]) for name in ("learned", "equilibrium", "gap", "exploitability")}
    means = {name: float(column.mean()) for name, column in columns.items()}
    merged: Any = means | errors
    return merged  # type: ignore[no-any-return]


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))

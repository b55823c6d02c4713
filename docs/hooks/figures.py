"""Figures that are computed when the site is built: each takes a second or two."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from makertaker.baselines import FieldOptions, references, solve
from makertaker.baselines.noise.equilibrium import DecouplingEquilibrium
from makertaker.envs import load_scenario
from makertaker.envs.palette import COLORS


def _panels(count: int, titles: tuple[str, ...]) -> tuple[Figure, list[Axes]]:
    """Panels side by side, time below."""
    figure = Figure(figsize=(3.4 * count, 3.0), layout="constrained")
    axes = [figure.add_subplot(1, count, place + 1) for place in range(count)]
    for each, title in zip(axes, titles, strict=True):
        each.set_title(title, fontsize=10)
        each.set_xlabel("time")
        each.grid(alpha=0.25)
    return figure, axes


def _svg(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()


def acas() -> bytes:
    """Equilibrium inventories, rate and quotes of ``acas``."""
    game = load_scenario("acas")
    nash = solve(game, 100)
    middle = (nash.times[:-1] + nash.times[1:]) / 2
    figure, (left, centre, right) = _panels(3, ("inventories", "the trader's rate", "quotes"))
    for place, agent in enumerate(game.agents):
        left.plot(nash.times, nash.inventories[:, place], color=COLORS[place], label=agent)
    left.legend(fontsize=8)
    centre.plot(middle, nash.controls.rate[:, 0], color=COLORS[0])
    for place in range(game.makers):
        right.plot(middle, nash.controls.ask[:, place], color=COLORS[1 + place], label=f"maker_{place}, ask")
        right.plot(middle, nash.controls.bid[:, place], "--", color=COLORS[1 + place], label=f"maker_{place}, bid")
    right.legend(fontsize=8)
    return _svg(figure)


def execution() -> bytes:
    """Rates of one of two equal buyers at the reference points of ``execution-2``."""
    game = load_scenario("execution-2")
    steps = 100
    figure, (left, right) = _panels(2, ("inventory of trader_0", "rate of trader_0"))
    times = np.linspace(0, game.horizon, steps + 1)
    for place, point in enumerate(references(game, steps).values()):
        if point.rule is None:
            continue
        inventory = point.rule.play().inventories[:, 0]
        left.plot(times, inventory, color=COLORS[place], label=point.name)
        right.stairs(np.diff(inventory) * steps / game.horizon, times, baseline=None, color=COLORS[place])
    left.legend(fontsize=7)
    return _svg(figure)


def field() -> bytes:
    """Quantiles of inventories in the equilibrium of ``approximation``."""
    game = load_scenario("approximation")
    found = solve(game, 20, field=FieldOptions(degree=2, passes=1, refine=False))
    assert isinstance(found, DecouplingEquilibrium)
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    quantiles = found.quantiles(levels)
    figure, axes = _panels(len(game.agents), game.agents)
    for place, each in enumerate(axes):
        low, lower, middle, upper, high = quantiles[:, :, place]
        each.fill_between(found.times, low, high, color=COLORS[place], alpha=0.15, label="5% to 95%")
        each.fill_between(found.times, lower, upper, color=COLORS[place], alpha=0.3, label="25% to 75%")
        each.plot(found.times, middle, color=COLORS[place], label="median")
    axes[0].set_ylabel("inventory")
    axes[0].legend(fontsize=8)
    return _svg(figure)


FIGURES: dict[str, Callable[[], bytes]] = {
    "figures/built/acas.svg": acas,
    "figures/built/execution.svg": execution,
    "figures/built/field.svg": field,
}

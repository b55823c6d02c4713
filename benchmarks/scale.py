"""How good is a relative NashConv?

    python benchmarks/scale.py [--seeds 20] [--timesteps 160000] [--out runs/scale] [--figure runs/scale.png]

PPO's over training, beside what random play and rules of thumb have, on `acas`. Independent PPO on the engine ``jax``,
which sees time alone, so that all gains are exact. Trainings that are in the folder already are not repeated. The
random players draw every control from the game's whole range of actions; theirs is the median over draws. Needs the
extras ``jax`` and ``train``.

Measured: on `acas` rules of thumb are a hundred times and more as far away as PPO, random play ten thousand times ([the
scale](docs/results.md#the-scale), [a table](docs/faq.md#is-nashconv-01-good))
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from rich.console import Console

from makertaker.baselines import exploitability, random_controls
from makertaker.baselines.maker_taker.references import heuristic_profiles
from makertaker.envs import MakerTakerGame, read_scenario
from makertaker.training.evaluation.panels import color
from makertaker.training.evaluation.spread import in_words, spread
from makertaker.training.record import load_history
from makertaker.training.run_config import RunConfig
from makertaker.training.seeds import train_seeds

SCENARIO = read_scenario("acas")
DRAWS = 200
NAMES = {"TWAP, constant spread": "TWAP", "Almgren-Chriss, constant spread": "Almgren-Chriss"}
ABOVE: dict[str, Any] = dict(ha="right", va="bottom", xytext=(0, 2), textcoords="offset points", fontsize=12)


def rules() -> dict[str, float]:
    """Relative NashConv of profiles that nobody learned, by name, the worst first."""
    game, steps = SCENARIO.game, SCENARIO.steps
    assert isinstance(game, MakerTakerGame)
    profiles = heuristic_profiles(game, steps)
    drawn = [exploitability(game, random_controls(game, steps, seed), steps).relative for seed in range(DRAWS)]
    found = {short: exploitability(game, profiles[name], steps).relative for name, short in NAMES.items()}
    return {"random play": float(np.median(drawn)), **found}


def learned(seeds: int, timesteps: int, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Joint market steps (n,), and relative NashConv after them of every seed (seeds, n)."""
    if not (out / "seeds.csv").is_file():
        config = RunConfig.of(SCENARIO, "ppo", None, "jax", information="time", seed=0, timesteps=timesteps)
        train_seeds(config, range(seeds), out, console=Console())
    histories = np.stack([load_history(out / f"seed-{seed}") for seed in range(seeds)])
    return histories[0, :, 0], histories[:, :, 2]


def shown(value: float) -> str:
    """A fraction in percent, to two digits."""
    return f"{float(f'{100 * value:.2g}'):,g}%"


def draw(fixed: dict[str, float], steps: np.ndarray, found: np.ndarray, path: Path) -> None:
    """PPO's way down past the others."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (name, value) in enumerate(fixed.items(), start=1):
        axes.axhline(100 * value, color=color(place), linestyle="--", linewidth=1.5)
        axes.annotate(
            f"{name}: {shown(value)}",
            (0.98, 100 * value),
            xycoords=("axes fraction", "data"),
            color=color(place),
            **ABOVE,
        )
    axes.fill_between(steps, *100 * np.quantile(found, (0, 1), axis=0), color=color(0), alpha=0.25, linewidth=0)
    middle = 100 * np.median(found, axis=0)
    axes.plot(steps, middle, color=color(0), linewidth=2)
    axes.annotate(
        f"PPO: {shown(middle[-1] / 100)}",
        (0.98, 100 * found[:, -1].max() * 1.5),
        xycoords=("axes fraction", "data"),
        color=color(0),
        **ABOVE,
    )
    axes.set_yscale("log")
    axes.set_ylim(0.01, 2500)
    axes.set_xlim(0, steps[-1])
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}%"))
    axes.tick_params(labelsize=11)
    axes.set_xlabel("joint market steps (all three agents act)", fontsize=12)
    axes.set_ylabel("relative NashConv (% of equilibrium payoffs)", fontsize=12)
    axes.set_title(f"Gains left by deviating alone: PPO, {len(found)} seeds, median and range", fontsize=12)
    axes.grid(alpha=0.25)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Train where that has not been done, print the numbers, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--timesteps", type=int, default=160_000)
    parser.add_argument("--out", type=Path, default=Path("runs/scale"))
    parser.add_argument("--figure", type=Path, default=Path("runs/scale.png"))
    arguments = parser.parse_args()
    fixed, (steps, found) = rules(), learned(arguments.seeds, arguments.timesteps, arguments.out)
    for name, value in fixed.items():
        print(f"{name}: {100 * value:.3g}%")
    last = found[:, -1]
    print(f"PPO: {in_words(spread(last))}, from {100 * last.min():.3f}% to {100 * last.max():.3f}%")
    draw(fixed, steps, found, arguments.figure)


if __name__ == "__main__":
    main()

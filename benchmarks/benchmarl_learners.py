"""What do BenchMARL's algorithms, and the TorchRL example, reach on `acas`?

    .venv-benchmarl/bin/python benchmarks/benchmarl_learners.py [--algorithms ippo mappo torchrl masac team] [--seeds 3]

Actors see the time alone. ``team`` is MASAC with the two makers in one group, which it takes for a team; everywhere
else agents learn for themselves. Runs in the environment of ``requirements-benchmarl.txt``. Prints relative NashConv,
exact, of the policies without exploration, and draws it over training; ``--curves`` keeps the numbers in a file and
draws from it if it is there.

Settings were chosen by hand on seed 0, which the table therefore favours. IPPO: exploration of 0.3, 0.6 and 1.0 control
units at first, and BenchMARL's default; 0.6 was best, from 0.3 it stuck at 15%. MAPPO: 0.6 and 1.0. MASAC: six settings
with the makers as a team, some at half the training and one stopped early, none of which ended below 44%; then two with
groups of one, of which the better one after 64,000 steps was taken. The TorchRL example has the settings of
``makertaker train --algorithm ppo`` as far as they carry over; no others were tried.

Measured: IPPO and MAPPO learn it, MASAC does not, and nothing like an equilibrium is learned where the makers are a
team ([other libraries](docs/results.md#the-same-through-other-libraries))
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from benchmarl.algorithms import IppoConfig, MappoConfig, MasacConfig
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.console import Console
from rich.table import Table
from timing import machine

from makertaker.baselines import exploitability, heuristic_profiles
from makertaker.training.benchmarl_callbacks import Anneal, NashConvHistory
from makertaker.training.benchmarl_task import MarketTask

ROOT = Path(__file__).parent.parent
MARKETS, EVERY = 64, 5_120
CONFIGS = {"ippo": IppoConfig, "mappo": MappoConfig, "masac": MasacConfig, "team": MasacConfig}
COLORS = {"ippo": "#0072B2", "mappo": "#D55E00", "torchrl": "#CC79A7", "masac": "#009E73", "team": "#E69F00"}
NAMES = {
    "ippo": "IPPO",
    "mappo": "MAPPO",
    "torchrl": "TorchRL example",
    "masac": "MASAC, groups of one",
    "team": "MASAC, makers as a team",
}
GAUSSIAN = {"use_tanh_normal": False, "scale_mapping": "biased_softplus_1.8"}  # 1.8 control units at first
PPO = {**GAUSSIAN, "lmbda": 1.0}
SAC = {"scale_mapping": "biased_softplus_1.8", "alpha_init": 0.01, "fixed_alpha": True}
SETTINGS: dict[str, dict[str, Any]] = {
    "ippo": PPO,
    "mappo": PPO,
    "masac": SAC,
    "team": SAC,
}
"""what differs from BenchMARL's defaults in the algorithm's own configuration, beside share_param_critic = False"""
RATES = {"ippo": (5e-3, 1e-4), "mappo": (5e-3, 1e-4), "masac": (1e-3, 1e-4), "team": (1e-3, 1e-4)}
SHARED: dict[str, Any] = {
    "gamma": 1.0,
    "share_policy_params": False,
    "on_policy_n_minibatch_iters": 5,
    "off_policy_n_optimizer_steps": 40,
    "off_policy_train_batch_size": 256,
    "polyak_tau": 0.1,
    "evaluation": False,
    "render": False,
    "loggers": [],
    "create_json": False,
}
"""the same of the experiment's configuration"""

Curve = list[tuple[int, float]]


def train(algorithm: str, seed: int, timesteps: int) -> Curve:
    """Relative NashConv by joint market steps, of one of BenchMARL's algorithms."""
    task = MarketTask("acas", observation="time", groups="agent" if algorithm == "masac" else "role")
    config, settings, model = (each.get_from_yaml() for each in (ExperimentConfig, CONFIGS[algorithm], MlpConfig))
    frames = MARKETS * task.steps
    for policy in ("on", "off"):
        setattr(config, f"{policy}_policy_collected_frames_per_batch", frames)
        setattr(config, f"{policy}_policy_n_envs_per_worker", MARKETS)
    config.on_policy_minibatch_size, config.off_policy_memory_size = frames // 2, 20 * frames
    config.max_n_frames, config.lr = timesteps, RATES[algorithm][0]
    for name, value in SHARED.items():
        setattr(config, name, value)
    settings.share_param_critic, model.num_cells = False, [64, 64]
    for name, value in SETTINGS[algorithm].items():
        setattr(settings, name, value)
    history = NashConvHistory(EVERY)
    with tempfile.TemporaryDirectory() as folder:
        config.save_folder = folder
        callbacks = [history, Anneal(*RATES[algorithm])]
        experiment = Experiment(task, settings, model, seed=seed, config=config, callbacks=callbacks)
        experiment.run()
    history.measure(experiment.total_frames)
    return history.values


def example(seed: int, timesteps: int) -> Curve:
    """The same of ``examples/torchrl_ppo.py``, from what it prints."""
    command = [sys.executable, str(ROOT / "examples" / "torchrl_ppo.py"), str(timesteps), str(seed)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"([\d,]+) joint market steps: relative NashConv ([\d.]+)%", printed)
    return [(int(steps.replace(",", "")), float(value) / 100) for steps, value in found]


def references() -> dict[str, float]:
    """Relative NashConv of the rules of thumb."""
    task = MarketTask("acas")
    profiles = heuristic_profiles(task.game, task.steps)
    return {name: exploitability(task.game, each, task.steps).relative for name, each in profiles.items()}


def draw(results: dict[str, Any], path: Path) -> None:
    """Learning curves, a thin line for each seed, and the rules of thumb as dotted lines."""
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    handles = []
    for algorithm, runs in results.items():
        for run in runs:
            steps, values = zip(*run["curve"], strict=True)
            axis.semilogy(steps, [100 * each for each in values], color=COLORS[algorithm], linewidth=0.9)
        seeds = f" ({len(runs)} seed{'s' if len(runs) > 1 else ''})"
        handles.append(Line2D([], [], color=COLORS[algorithm], label=NAMES[algorithm] + seeds))
    for (name, level), shade in zip(references().items(), ("0.2", "0.45", "0.65"), strict=True):
        line = axis.axhline(100 * level, color=shade, linestyle=":", linewidth=1.6, label=name)
        handles.append(line)
    axis.set(
        xlabel="joint market steps",
        ylabel="relative NashConv, %",
        title="acas, open-loop actors: NashConv over the sum of equilibrium payoffs' sizes",
        xlim=(0, max(run["curve"][-1][0] for runs in results.values() for run in runs)),
    )
    axis.yaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.grid(alpha=0.25, which="both")
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Print one table and draw the figure."""
    warnings.filterwarnings("ignore")
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--timesteps", type=int, default=160_000)
    parser.add_argument("--curves", type=Path, help="a JSON file to keep the curves in, or to draw from")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "figures" / "benchmarl.png")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    if arguments.curves is not None and arguments.curves.exists():
        results = json.loads(arguments.curves.read_text(encoding="utf-8"))
    for algorithm in arguments.algorithms:
        runs = results.setdefault(algorithm, [])
        for seed in range(len(runs), arguments.seeds):
            started = time.perf_counter()
            learn = example if algorithm == "torchrl" else lambda s, t, a=algorithm: train(a, s, t)
            curve = learn(seed, arguments.timesteps)
            runs.append({"curve": curve, "seconds": time.perf_counter() - started})
            if arguments.curves is not None:
                arguments.curves.write_text(json.dumps(results), encoding="utf-8")
    console = Console(width=120)
    console.print(machine())
    table = Table("learner", "relative NashConv, by seed", "seconds", "settings that differ from the defaults")
    for algorithm, runs in results.items():
        settings = {**SETTINGS.get(algorithm, {}), "lr": RATES.get(algorithm)}
        table.add_row(
            NAMES[algorithm],
            ", ".join(f"{100 * run['curve'][-1][1]:.2f}%" for run in runs),
            f"{sum(run['seconds'] for run in runs) / len(runs):.0f}",
            "in the file" if algorithm == "torchrl" else ", ".join(f"{k}={v}" for k, v in settings.items()),
        )
    console.print(table)
    console.print(f"shared: {SHARED}, {MARKETS} markets")
    for name, level in references().items():
        console.print(f"{name}: {100 * level:.1f}%")
    draw(results, arguments.figure)


if __name__ == "__main__":
    main()

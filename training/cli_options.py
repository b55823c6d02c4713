"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ScenarioName = Annotated[
    str, typer.Argument(help="A name that 'makertaker scenarios' lists, or a path to a .toml file.")
]
RunFolder = Annotated[Path, typer.Argument(help="A run directory.")]
Steps = Annotated[int | None, typer.Option(help="Steps of the grid; default: the scenario's.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value with a TOML value, e.g. competition.gamma=2.0; repeatable.")
]
Timesteps = Annotated[int, typer.Option(help="Joint market steps of a training.")]
Seen = Annotated[str, typer.Option("--information", help="What actors see: time, own, market or full.")]
History = Annotated[
    int,
    typer.Option(
        help="Number of the last observations that actors act on, the newest last, with zeros before the first. With "
        "--engine sb3 and jax; with --information time only where there is a factor."
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        help="none, or the recurrent unit before the layers of actors: lstm, with --engine sb3 and --algorithm ppo, or "
        "gru, with --engine jax; with --information time only where there is a factor."
    ),
]
Markets = Annotated[int | None, typer.Option(help="Markets played at once; default: the algorithm's.")]
Spread = Annotated[
    float,
    typer.Option(
        "--inventory-spread",
        help="Standard deviation, in shares, of normal noise on the initial inventories of every episode; the "
        "evaluation looks at random starts as well.",
    ),
]
Hyperparameters = Annotated[
    list[str] | None,
    typer.Option(
        "--hp",
        help="name.key=value, name an algorithm or an agent, e.g. ppo.learning_rate=1e-3 or trader_0.gamma=0.99; or a "
        ".toml file with tables \\[algorithm.name]; repeatable. An unknown key lists what there is.",
    ),
]
LogNames = Annotated[
    list[str] | None,
    typer.Option("--log", help="Log to wandb or mlflow as well as to TensorBoard; repeatable; not a setting."),
]
Address = Annotated[
    str | None, typer.Option(help="With Ray: address of a cluster, e.g. auto or 10.0.0.1:6379; default: this machine.")
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Read models that are no files of numbers, of earlier versions or of policies of your own: pickles, which "
        "run code that is in them.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import completion


def examples(*commands: str) -> str:
    """The end of a command's help; its lines stay as they are."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {each}" for each in commands)])


ScenarioName = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO",
        autocompletion=completion.scenarios,
        help="A name that 'makertaker scenarios' lists, or a path to a .toml file.",
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, or a folder of seeds.")]
Steps = Annotated[int | None, typer.Option(metavar="K", help="Steps of the grid; default: the scenario's.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A parameter of the scenario, with a TOML value; repeatable. 'makertaker scenarios SCENARIO' lists them.",
    ),
]
Timesteps = Annotated[int, typer.Option(metavar="N", help="Joint market steps of a training.")]
Seen = Annotated[
    str,
    typer.Option(
        "--information",
        metavar="KIND",
        autocompletion=completion.information,
        help="What actors see: time, own, market or full.",
    ),
]
History = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Number of the last observations that actors act on, the newest last, with zeros before the first. With "
        "--engine sb3 and jax; with --information time only where there is a factor.",
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="UNIT",
        autocompletion=completion.memories,
        help="none, or the recurrent unit before the layers of actors: lstm, with --engine sb3 and --algorithm ppo, or "
        "gru, with --engine jax; with --information time only where there is a factor.",
    ),
]
Markets = Annotated[int | None, typer.Option(metavar="N", help="Markets played at once; default: the algorithm's.")]
Spread = Annotated[
    float,
    typer.Option(
        "--inventory-spread",
        metavar="SHARES",
        help="Standard deviation, in shares, of normal noise on the initial inventories of every episode; the "
        "evaluation looks at random starts as well.",
    ),
]
Hyperparameters = Annotated[
    list[str] | None,
    typer.Option(
        "--hp",
        metavar="NAME.KEY=VALUE",
        help="A hyperparameter, with a TOML value; NAME is an algorithm or an agent. Or a .toml file with tables "
        "[algorithm.NAME]. Repeatable; an unknown key lists what there is.",
    ),
]
LogNames = Annotated[
    list[str] | None,
    typer.Option(
        "--log", metavar="NAME", help="Log to wandb or mlflow as well as to TensorBoard; repeatable; not a setting."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="With Ray: address of a cluster, or auto for the one there is; default: this machine."
    ),
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

"""The command that writes play as data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..cli_options import Json, Overrides, Steps, Trust
from ..common.extras import needed
from ..evaluation.tables import percent
from .output import err, show


def record(
    source: Annotated[
        str, typer.Argument(metavar="RUN|SCENARIO", help="A run directory; or a scenario, by name or .toml file.")
    ],
    out_folder: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Of the data sets: Minari's MINARI_DATASETS_PATH.")
    ],
    episodes: Annotated[int, typer.Option(metavar="N", help="Number of episodes.")] = 100,
    perturb: Annotated[
        float, typer.Option(metavar="SD", help="Standard deviation of normal noise on actions, in their units.")
    ] = 0.0,
    spread: Annotated[
        float,
        typer.Option("--inventory-spread", metavar="SHARES", help="Standard deviation of initial inventories."),
    ] = 0.0,
    information: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="What observations show; default: what the policies see."),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Who plays: learned or equilibrium; default: learned of a run, otherwise equilibrium."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of all noise.")] = 0,
    steps: Steps = None,
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace data sets of the same names.")] = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Write episodes as Minari data sets, one for each agent: of a run's learned policies, or of an equilibrium, with
    noise on actions or initial inventories where it is asked for. NashConv is in their metadata."""
    found = needed("datasets", "data").record(
        source,
        out_folder,
        episodes=episodes,
        perturb=perturb,
        spread=spread,
        information=information,
        policies=policies,
        seed=seed,
        steps=steps,
        overrides=overrides or (),
        overwrite=overwrite,
        trust=trust,
        console=err,
    )
    document = {
        **{"folder": str(found.folder), "datasets": found.datasets, "episodes": found.episodes, "steps": found.steps},
        "relative_nash_conv": found.relative_nash_conv,
    }
    told = (
        f"{found.episodes} episodes of {found.steps} steps; relative NashConv {percent(abs(found.relative_nash_conv))}"
    )
    read = f"MINARI_DATASETS_PATH={found.folder}, and minari.load_dataset of one of these names reads them"
    show(document, as_json, *found.datasets.values(), told, read)

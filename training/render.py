"""Films of an episode: a run's learned policies, or a scenario's equilibrium, with the equilibrium as a ghost.

GIFs need matplotlib, which brings Pillow; MP4s also the program ``ffmpeg``.
"""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from ..envs import text
from ..envs.packing import join_actions, split_controls
from ..envs.parallel_env import GameParallelEnv
from ..envs.parameters import check_count
from . import runs
from .common.extras import library
from .play import Play, play_of

_SUFFIXES = (".gif", ".mp4")
_FASTEST = 50
"""frames per second: GIFs count in hundredths of a second, and viewers slow down what is faster than two of them"""
_MOST = 200
"""frames; of longer episodes some are left out"""
_LAST = 2.0
"""seconds for which the last frame stays"""
_COLORS = 128
"""of a GIF: those of the figure and their mixtures at the edges of lines"""


class Film(NamedTuple):
    """What :func:`render` wrote.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from makertaker.training.render import render
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     film = render("execution-2", Path(folder) / "film.gif", steps=2)
        >>> film.frames
        3
    """

    path: Path
    frames: int
    size: int
    """bytes"""


def render(
    source: str | Path,
    out: str | Path,
    *,
    policies: str | None = None,
    seed: int = 0,
    fps: int = 10,
    steps: int | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    trust: bool = False,
    console: Console | None = None,
) -> Film:
    """Play one episode and write it as a film.

    Args:
        source: a run directory, or a scenario: its name, or the path of its file.
        out: the film's file, ``.gif`` or ``.mp4``.
        policies: who plays: ``"learned"``, the run's policies, or ``"equilibrium"``; None: the learned ones of a run,
            otherwise the equilibrium.
        seed: of the noise.
        fps: frames, which are steps, per second.
        steps: of a scenario's grid; None: the scenario's.
        overrides: ``key=value`` of a scenario, see :func:`~makertaker.envs.read_scenario`.
        overwrite: True if a file may be replaced.
        trust: see :func:`.runs.load_policies`.
        console: for the progress bar; None: there is none.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: an argument is out of its range, the file exists, ``ffmpeg`` is missing, or the run cannot be read.
        EquilibriumNotFound: the game was not solved.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from makertaker.training.render import render
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(render("execution-2", Path(folder) / "film.gif", steps=2).path.name)
        film.gif
    """
    path = Path(out)
    _check(path, fps, overwrite)
    show = play_of(source, policies, steps, overrides, trust)
    pictures = _pictures(show, check_count("seed", seed, least=0), console)
    path.parent.mkdir(parents=True, exist_ok=True)
    count = (_write_gif if path.suffix.lower() == ".gif" else _write_mp4)(path, pictures, fps)
    return Film(path, count, path.stat().st_size)


def _check(path: Path, fps: int, overwrite: bool) -> None:
    """Raises ValueError, before anything is computed, for what could not be written, ImportError without
    matplotlib."""
    library("matplotlib", "plots")
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"out: expected a file that ends with .gif or .mp4, got {text.shown(path)!r}")
    if check_count("fps", fps) > _FASTEST:
        raise ValueError(f"fps: expected at most {_FASTEST} frames per second, got {fps}")
    if path.is_dir() or (path.exists() and not overwrite):
        hint = "a folder" if path.is_dir() else "a file; overwrite replaces it (--overwrite)"
        raise ValueError(f"out: {text.shown(path)!r} is {hint}")
    if path.suffix.lower() == ".mp4" and not library("matplotlib.animation", "plots").FFMpegWriter.isAvailable():
        raise ValueError("out: an .mp4 needs the program ffmpeg, which is not installed; a .gif does not")


def _pictures(show: Play, seed: int, console: Console | None) -> Iterator[np.ndarray]:
    """The frames (H, W, 3) of an episode."""
    task, game = show.task, show.task.game
    env = GameParallelEnv(game, steps=task.steps, render_mode="rgb_array", name=show.title)
    env.set_ghost(task.equilibrium, "equilibrium, mean" if game.random else "equilibrium")
    env.reset(seed=seed)
    kept = set(np.linspace(0, task.steps, min(task.steps + 1, _MOST)).round().astype(int).tolist())
    with runs.progress_bar(console) as bar:
        shown = bar.add_task("drawing", total=len(kept), gain="")
        for k in range(task.steps + 1):
            if k:
                state = env.market.state
                actions = {agent: policy(k - 1, state) for agent, policy in show.policies.items()}
                env.play(game.clip(split_controls(game, join_actions(game, actions))))
            if k in kept:
                picture = env.render()
                assert picture is not None  # there is a mode
                yield picture
                bar.advance(shown)
    env.close()


def _write_gif(path: Path, pictures: Iterator[np.ndarray], fps: int) -> int:
    """Write a film in one palette, that of its first, middle and last frame."""
    image = library("PIL.Image", "plots")
    frames = [image.fromarray(each) for each in pictures]
    some = np.concatenate([np.asarray(frames[i]) for i in (0, len(frames) // 2, -1)])
    palette = image.fromarray(some).quantize(_COLORS, image.Quantize.FASTOCTREE)
    drawn = [each.quantize(palette=palette, dither=image.Dither.NONE) for each in frames]
    seconds = [1 / fps] * (len(drawn) - 1) + [_LAST]
    content = io.BytesIO()
    durations = [round(1000 * each) for each in seconds]
    drawn[0].save(
        content, "GIF", save_all=True, append_images=drawn[1:], duration=durations, loop=0, optimize=True, disposal=1
    )
    text.write(path, content.getvalue())
    return len(drawn)


def _write_mp4(path: Path, pictures: Iterator[np.ndarray], fps: int) -> int:
    """Write a film with ffmpeg."""
    figure_class = library("matplotlib.figure", "plots").Figure
    writer = library("matplotlib.animation", "plots").FFMpegWriter(fps=fps)
    first, count, dpi = next(pictures), 0, 100
    height, width = first.shape[:2]
    figure = figure_class(figsize=(width / dpi, height / dpi), dpi=dpi)
    image = figure.figimage(first)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "film.mp4"
        with writer.saving(figure, str(written), dpi):
            for picture in itertools.chain([first], pictures):
                image.set_data(picture)
                writer.grab_frame()
                count += 1
            for _ in range(round(_LAST * fps) - 1):
                writer.grab_frame()
        text.write(path, written.read_bytes())
    return count

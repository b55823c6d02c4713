"""Films of episodes: ``makertaker render``."""

import shutil

import numpy as np
import pytest

from makertaker.baselines import solve
from makertaker.training import render, runs
from support.commands import assert_one_line
from support.run_folders import config

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of five steps."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    runs.train(config(), folder)
    return folder


@pytest.fixture
def played(monkeypatch):
    """The environments that films are made of."""
    made = []

    class Seen(render.GameParallelEnv):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            made.append(self)

    monkeypatch.setattr(render, "GameParallelEnv", Seen)
    return made


def frames_of(path):
    """Number of frames, their sizes, and the durations of the first and the last in milliseconds."""
    from PIL import Image

    with Image.open(path) as film:
        sizes, durations = set(), []
        for k in range(film.n_frames):
            film.seek(k)
            sizes.add(film.size)
            durations.append(film.info["duration"])
        return film.n_frames, sizes, (durations[0], durations[-1])


def test_a_scenario_is_shown_in_equilibrium(command, played, tmp_path):
    path = tmp_path / "films" / "x.gif"
    code, out, err = command("render", "acas", "--steps", "4", "--fps", "5", "--out", str(path))
    assert code == 0
    assert out.startswith(f"wrote {path}: 5 frames, ")
    assert "5/5" in err
    assert frames_of(path) == (5, {(1000, 580)}, (200, 2000))
    assert path.stat().st_size < 100_000
    np.testing.assert_allclose(played[0].market.inventories, solve("acas", 4).inventories[-1], rtol=1e-9)
    before = path.read_bytes()
    again = command("render", "acas", "--steps", "2", "--out", str(path))
    assert_one_line(again, f"out: '{path}' is a file; overwrite replaces it (--overwrite)")
    assert path.read_bytes() == before
    assert command("render", "acas", "--steps", "2", "--out", str(path), "--overwrite")[0] == 0
    assert frames_of(path)[0] == 3


def test_a_run_is_shown_with_what_it_learned(played, trained, tmp_path):
    learned = runs.evaluate_run(trained)
    film = render.render(trained, tmp_path / "learned.gif")
    assert (film.frames, frames_of(film.path)[0]) == (6, 6)
    np.testing.assert_allclose(played[0].market.inventories, learned.learned.inventories[-1], rtol=1e-9)
    np.testing.assert_array_equal(played[0]._ghost.inventories, learned.equilibrium.inventories)
    render.render(trained, tmp_path / "equilibrium.gif", policies="equilibrium")
    np.testing.assert_allclose(played[1].market.inventories, learned.equilibrium.inventories[-1], rtol=1e-9)


def test_noise_is_a_function_of_the_seed(played, tmp_path):
    """Prices of ``execution-2`` are noisy, its equilibrium is not."""
    for i, seed in enumerate((0, 0, 1)):
        render.render("execution-2", tmp_path / f"{i}.gif", steps=2, seed=seed)
    prices = [float(env.market.price) for env in played]
    assert prices[0] == prices[1] != prices[2]
    assert (tmp_path / "0.gif").read_bytes() == (tmp_path / "1.gif").read_bytes()


def test_long_episodes_leave_frames_out(monkeypatch, tmp_path):
    monkeypatch.setattr(render, "_MOST", 3)
    assert render.render("execution-2", tmp_path / "x.gif", steps=7).frames == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("acas", "--out", "x.avi"), "out: expected a file that ends with .gif or .mp4, got 'x.avi'"),
        (("acas", "--out", "x.gif", "--fps", "51"), "fps: expected at most 50 frames per second, got 51"),
        (("acas", "--out", "x.gif", "--fps", "0"), "fps: expected a positive whole number, got 0"),
        (("acas", "--out", "x.gif", "--seed", "-1"), "seed: expected a whole number >= 0, got -1"),
        (
            ("acas", "--out", "x.gif", "--policies", "random"),
            "unknown policies 'random': expected one of ['learned', ",
        ),
        (("acas", "--out", "x.gif", "--policies", "learned"), "policies: nothing was learned in a scenario, 'acas'"),
        (("nothing", "--out", "x.gif"), "'nothing'"),
        (("folder.gif", "--out", "x.gif"), "config.json"),
        (("acas", "--out", "folder.gif"), "out: 'folder.gif' is a folder"),
        (("seeds", "--out", "x.gif"), "run: 'seeds' holds the seeds 0, 1: expected the folder of one of them"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_arguments_are_one_line(command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.gif").mkdir()
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "seeds.json").write_text('{"seeds": [0, 1]}')
    assert_one_line(command("render", *arguments), message)
    assert not (tmp_path / "x.gif").exists()


def test_a_run_is_shown_with_its_own_grid(command, trained, tmp_path):
    found = command("render", str(trained), "--steps", "3", "--out", str(tmp_path / "x.gif"))
    assert_one_line(found, "steps, overrides: a run is played with its own")


def test_video_needs_ffmpeg(command, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = command("render", "acas", "--out", str(tmp_path / "x.mp4"))
    assert_one_line(found, "out: an .mp4 needs the program ffmpeg, which is not installed; a .gif does not")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_video_is_written_with_ffmpeg(tmp_path):
    film = render.render("execution-2", tmp_path / "x.mp4", steps=2)
    assert film.frames == 3
    assert film.path.read_bytes()[4:8] == b"ftyp"

"""Run directories whatever ends a command, wherever it changes files: nothing is lost, and nothing is mixed."""

import itertools
import re

import pytest

pytest.importorskip("filelock")
pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
pytest.importorskip("tensorboard")

from support.faults import (
    EVALUATE,
    OTHER,
    REPLACE,
    REPORT,
    RESUME,
    SWEEP,
    TRAIN,
    Server,
    Situations,
    both,
    disturbed,
    done,
    sweep_disturbed,
)

COMMANDS = {
    "train": ("fresh", TRAIN),
    "overwrite": ("older", REPLACE),
    "resume": ("interrupted", RESUME),
    "resume a replacement": ("replacing", RESUME),
    "resume what is finished": ("finished", RESUME),
    "evaluate": ("older", EVALUATE),
    "report": ("older", REPORT),
}


@pytest.fixture(scope="module")
def situations(tmp_path_factory):
    server = Server()
    yield Situations(server, tmp_path_factory.mktemp("faults"))
    server.close()


@pytest.fixture(scope="module")
def places(situations, tmp_path_factory):
    """The points of each command."""
    folder = tmp_path_factory.mktemp("points") / "run"
    found = {}
    for name, (situation, command) in COMMANDS.items():
        found[name] = done(situations.server(situations.copy(situation, folder), command))["points"]
    return found


def thinned(points):
    """Without most of the many writes of one model: the first, the second and every fifth."""
    return [each for each in points if not re.search(r"\.zip ", each) or (n := int(each.split()[-1])) < 2 or n % 5 == 0]


def failures(disturb, faults):
    """What went wrong, by fault."""
    failed = {}
    for fault in faults:
        try:
            disturb(fault)
        except AssertionError as error:
            failed[fault] = str(error)[:1500]
    return "\n\n".join(f"{fault}: {said}" for fault, said in failed.items())


KINDS = ("SIGKILL", "ENOSPC", "SIGTERM", "EIO", "SIGINT", "SIGHUP")
STRIDES = {"train": 61, "overwrite": 73, "resume": 59, "resume a replacement": 73}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_ends_somewhere(name, situations, places, tmp_path):
    """Places at regular distances, and kinds of faults in turn, from one command to the next."""
    chosen, first = thinned(places[name])[5 :: STRIDES.get(name, 11)], list(COMMANDS).index(name)
    faulty = [(KINDS[number % len(KINDS)], place) for number, place in enumerate(chosen, first)]
    assert not failures(lambda fault: disturbed(situations, *COMMANDS[name], tmp_path / "run", fault=fault), faulty)


@pytest.mark.parametrize(
    ("name", "kind", "place"),
    [
        ("train", "SIGKILL", "write X/checkpoint.new/maker_0.zip 3"),  # before there is a checkpoint
        ("train", "ENOSPC", "open X/tensorboard/maker_1_1/events.out.tfevents.* 1"),  # in a thread of TensorBoard's
        ("train", "SIGKILL", "write X/figures/.comparison.png.*.new 0"),  # what is begun is removed later
        ("train", "SIGTERM", "write X/models/maker_0.zip 2"),  # while what was learned is saved
        ("overwrite", "SIGINT", "open X/.lock 0"),  # before the new run began
        ("overwrite", "SIGKILL", "rename X/.complete 0"),
        ("overwrite", "SIGKILL", "remove X/models/trader_0.zip 0"),
        ("resume a replacement", "SIGKILL", "write X/.partial/.history.csv.*.new 0"),
        ("report", "SIGTERM", "write X/.report.html.*.new 0"),
    ],
)
def test_a_command_that_ends_where_it_matters(name, kind, place, situations, tmp_path):
    disturbed(situations, *COMMANDS[name], tmp_path / "run", fault=(kind, place))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["SIGKILL", "ENOSPC", "EIO", "signals"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_ends_anywhere(name, kind, situations, places, tmp_path):
    """At every place; signals in turn."""
    signals = itertools.cycle(("SIGINT", "SIGTERM", "SIGHUP"))
    faulty = [(next(signals) if kind == "signals" else kind, place) for place in thinned(places[name])]
    assert not failures(lambda fault: disturbed(situations, *COMMANDS[name], tmp_path / "run", fault=fault), faulty)


@pytest.mark.parametrize(
    ("name", "limit"),
    [*(("train", limit) for limit in (150, 3_000, 20_000, 40_000)), ("overwrite", 150), ("overwrite", 20_000)],
)
def test_files_that_may_not_grow(name, limit, situations, tmp_path):
    """The configuration, the checkpoint's state, a model and the page are larger than these bytes, in this order."""
    disturbed(situations, *COMMANDS[name], tmp_path / "run", limit=limit)


@pytest.mark.parametrize(
    ("situation", "commands"),
    [
        ("fresh", (TRAIN, OTHER)),
        ("older", (REPLACE, (*OTHER, "--overwrite"))),
        ("older", (REPLACE, REPORT)),
        ("interrupted", (RESUME, RESUME)),
        ("replacing", (RESUME, REPLACE)),
        ("older", (EVALUATE, REPORT)),
    ],
)
def test_two_commands_at_once(situation, commands, situations, tmp_path):
    both(situations, situation, commands, tmp_path / "run")


def sweep_places(situations, folder):
    """Those of the sweep itself, and the first trainings' in its folder."""
    points = done(situations.server(situations.copy("fresh", folder), SWEEP))["points"]
    return thinned(points)


def test_a_sweep_that_ends_somewhere(situations, tmp_path):
    chosen = sweep_places(situations, tmp_path / "run")
    own = [place for place in chosen if " S/runs/" not in place]
    faulty = [(KINDS[i % len(KINDS)], place) for i, place in enumerate([*own[2::12], *chosen[60::400]])]
    assert not failures(lambda fault: sweep_disturbed(situations, tmp_path / "run", fault), faulty)


@pytest.mark.slow
def test_a_sweep_that_ends_anywhere(situations, tmp_path):
    """At every place, and kinds of faults in turn."""
    kinds = itertools.cycle(KINDS)
    faulty = [(next(kinds), place) for place in sweep_places(situations, tmp_path / "run")]
    assert not failures(lambda fault: sweep_disturbed(situations, tmp_path / "run", fault), faulty)

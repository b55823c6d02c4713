"""Trainings that differ in their seeds alone, one after the other: they are those of each seed alone."""

import json
import math

import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.training import IndependentLearners, runs, seed_folder, seeds
from support.commands import assert_one_line, strict_json
from support.run_folders import ARGUMENTS, BUDGET, config, result_of

pytestmark = pytest.mark.usefixtures("undrawn")

SEEDS = (0, 1)


@pytest.fixture
def second_is_disturbed(monkeypatch):
    """An exception in the middle of the second training of this process, once."""
    learn, calls = IndependentLearners.learn, []

    def disturb(error):
        def disturbed(self, *arguments, **keywords):
            learn(self, *arguments, **keywords)
            calls.append(self.steps_done)
            if calls.count(BUDGET) and self.steps_done < BUDGET:
                monkeypatch.setattr(IndependentLearners, "learn", learn)
                raise error

        monkeypatch.setattr(IndependentLearners, "learn", disturbed)

    return disturb


def test_each_seed_is_trained_as_alone(tmp_path, finished):
    out = tmp_path / "group"
    found = seeds.train_seeds(config(7), SEEDS, out)
    assert {seed: result_of(out / f"seed-{seed}") for seed in SEEDS} == finished
    header, *rows = [line.split(",") for line in (out / "seeds.csv").read_text().splitlines()]
    assert header[:2] == ["seed", "relative_nash_conv"]
    assert {int(row[0]): float(row[1]) for row in rows} == {
        seed: each.metrics["relative_nash_conv"] for seed, each in found.items()
    }
    with pytest.raises(ValueError, match=r"out: .*seed-0' exists; choose another directory"):
        seeds.train_seeds(config(), SEEDS, out)
    assert seeds.train_seeds(config(), SEEDS, out, overwrite=True)[1].metrics == found[1].metrics


def test_seeds_that_are_interrupted_go_on_where_they_were(tmp_path, finished, second_is_disturbed):
    out = tmp_path / "group"
    second_is_disturbed(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        seeds.train_seeds(config(), (0, 1, 2), out)
    assert result_of(out / "seed-0") == finished[0]
    assert (out / "seeds.csv").read_text().count("\n") == 2  # its header, and the seed that was complete
    done, left_out = seed_folder.evaluate_seeds(out)
    assert 0 < done[1].metrics["timesteps_done"] < done[0].metrics["timesteps_done"] == BUDGET
    assert "history.csv" in left_out[2]
    seeds.resume_seeds(out)
    assert {seed: result_of(out / f"seed-{seed}") for seed in SEEDS} == finished
    assert runs.load_config(out / "seed-2") == config(2)
    assert not seed_folder.evaluate_seeds(out).left_out


def test_a_seed_that_diverges_does_not_stop_the_others(tmp_path, finished, second_is_disturbed):
    second_is_disturbed(FloatingPointError("not finite"))
    with pytest.raises(FloatingPointError, match=r"^seed 1: not finite$"):
        seeds.train_seeds(config(), (0, 1, 2), tmp_path / "group")
    assert result_of(tmp_path / "group" / "seed-0") == finished[0]
    rows = (tmp_path / "group" / "seeds.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["0", "2"]


def test_an_older_group_stays_until_each_seed_is_complete(tmp_path, second_is_disturbed):
    out, other = tmp_path / "group", runs.RunConfig(**{**vars_of(config()), "checkpoints": 2})
    seeds.train_seeds(config(), SEEDS, out)
    second_is_disturbed(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        seeds.train_seeds(other, SEEDS, out, overwrite=True)
    assert [runs.load_config(out / f"seed-{seed}").checkpoints for seed in SEEDS] == [2, 4]
    seeds.resume_seeds(out)
    assert [runs.load_config(out / f"seed-{seed}").checkpoints for seed in SEEDS] == [2, 2]


def vars_of(given):
    return {key: value for key, value in given.document().items() if key != "format"}


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [({}, (1, 1), "seeds: expected different ones"), ({}, (), "seeds: expected different ones, got \\[\\]")],
)
def test_bad_seeds_are_refused(changes, asked, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        seeds.train_seeds(config(), asked, tmp_path / "group")
    assert not (tmp_path / "group").exists()


def test_a_bad_configuration_leaves_nothing(tmp_path):
    penalties = {"trader_terminal_penalty": 0.0, "maker_terminal_penalty": 0.0}
    nobody_trades = {"description": "all payoffs are zero", **penalties, "buy_flow": 0.0, "sell_flow": 0.0}
    none = runs.RunConfig("nobody", nobody_trades, steps=5)
    with pytest.raises(ValueError, match="all equilibrium payoffs are zero"):
        seeds.train_seeds(none, SEEDS, tmp_path / "group")
    assert not (tmp_path / "group").exists()


def test_the_command_trains_seeds_from_a_first_one_and_evaluates_them(tmp_path, command, finished):
    out = tmp_path / "group"
    code, printed, _ = command("train", *ARGUMENTS, "--seed", "1", "--seeds", "2", "--out", str(out), "--json")
    assert code == 0
    document = strict_json(printed)
    assert list(document["seeds"]) == ["1", "2"]
    assert document["seeds"]["1"] == json.loads(finished[1]["metrics.json"])
    values = [each["relative_nash_conv"] for each in document["seeds"].values()]
    # of two values, resampled medians are either of them or their mean
    assert [document["low"], document["median"], document["high"]] == [min(values), sum(values) / 2, max(values)]
    assert document["interquartile_mean"] is None
    code, printed, _ = command("evaluate", str(out), "--json")
    assert (code, strict_json(printed)) == (0, document)
    code, printed, _ = command("evaluate", str(out))
    assert code == 0
    assert " (median of 2, " in printed
    (out / "seed-2" / "history.csv").unlink()
    code, printed, said = command("evaluate", str(out), "--json")
    assert code == 0
    assert "seed 2 is left out: " in said
    assert strict_json(printed)["left_out"].keys() == {"2"}
    (out / "seed-1" / "history.csv").unlink()
    assert_one_line(command("evaluate", str(out)), "history.csv' is missing")


def test_an_interrupted_command_says_how_to_go_on(tmp_path, command, second_is_disturbed):
    out = tmp_path / "group"
    second_is_disturbed(KeyboardInterrupt())
    code, _, said = command("train", *ARGUMENTS, "--seeds", "2", "--out", str(out))
    assert code == 130
    assert f"go on with makertaker train acas --resume --out {out}" in said
    code, printed, _ = command("train", "acas", "--resume", "--out", str(out), "--json")
    assert code == 0
    assert math.isfinite(strict_json(printed)["median"])

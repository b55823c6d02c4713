"""Grids that no machine holds are refused before memory is taken."""

import pytest

from makertaker.baselines import exploitability, solve
from makertaker.envs import Controls, acas_v0, execution_v0, memory


@pytest.mark.parametrize(
    "ask",
    [
        lambda: solve("acas", 10**9),
        lambda: solve("execution-2", 10**9),
        lambda: acas_v0.parallel_env(steps=10**9),
        lambda: execution_v0.parallel_env(steps=10**12),
        lambda: exploitability("acas", Controls(0, 0, 0), 10**10),
    ],
    ids=["solve", "solve execution", "environment", "execution environment", "exploitability"],
)
def test_steps_that_no_machine_holds(ask, monkeypatch):
    monkeypatch.setattr(memory, "physical_memory", lambda: 1e11)
    with pytest.raises(ValueError, match=r"steps: 1[0,]* steps of a market take about [\d,]+ GB of memory, this mach"):
        ask()


def test_a_linear_system_that_no_machine_holds(monkeypatch):
    monkeypatch.setattr(memory, "physical_memory", lambda: 1e9)
    with pytest.raises(ValueError, match=r"steps: 1,000,000 steps of an equilibrium of 3 agents take about 4 GB"):
        solve("acas", 10**6)


def test_this_machine_has_memory():
    assert memory.physical_memory() > 1e8

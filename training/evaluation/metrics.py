"""The numbers of a comparison with the equilibrium, as they stand in ``metrics.json``."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class AgentMetrics(TypedDict):
    """One agent's numbers; standard errors in games with noise, and over markets that are drawn."""

    learned: float
    equilibrium: float
    gap: float
    exploitability: float
    control_distance: float
    inventory_distance: float
    learned_se: NotRequired[float]
    exploitability_se: NotRequired[float]


class ProfileMetrics(TypedDict):
    """A reference profile; None for a number that does not exist or was not found, ``note`` gives the reason."""

    payoffs: dict[str, float] | None
    relative_nash_conv: float | None
    control_distance: float | None
    collusion_index: NotRequired[float | None]
    note: str


class EquilibriumMetrics(TypedDict):
    """The solver's account of the equilibrium."""

    residual: float
    message: str
    notes: NotRequired[list[str]]
    """parts of the message to know when reading NashConv; older files have none"""


class Metrics(TypedDict):
    """The whole comparison."""

    steps: int
    information: str
    exploitability_against: str
    agents: dict[str, AgentMetrics]
    nash_conv: float
    relative_nash_conv: float
    open_loop_nash_conv: float
    open_loop_relative_nash_conv: float
    control_distance: float
    inventory_distance: float
    collusion_index: float | None
    collusion_index_se: float | None
    equilibrium: EquilibriumMetrics
    baselines: dict[str, ProfileMetrics]
    nash_conv_se: NotRequired[float]
    relative_nash_conv_se: NotRequired[float]


class RunMetrics(Metrics):
    """The comparison of a run."""

    scenario: str
    seed: int
    timesteps: int
    timesteps_done: int


class Group(TypedDict):
    """The trainings of a sweep with one scenario and algorithm; ``failed`` has reasons. Both mappings are by seed.
    ``equilibrium`` has what to know of the scenario's equilibrium when reading NashConv."""

    scenario: str
    algorithm: str
    relative_nash_conv: dict[str, float]
    median: float | None
    seconds: float | None
    failed: dict[str, str]
    equilibrium: list[str]

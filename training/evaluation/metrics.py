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


class ReactionMetrics(TypedDict):
    """Mean derivatives of a control over the path: in the agent's own inventory, and in the others' on average; of what
    was learned, and of the feedback equilibrium where there is one."""

    own: float
    others: float
    feedback_own: float | None
    feedback_others: float | None


class FeedbackMetrics(TypedDict):
    """The comparison with the feedback equilibrium, where actors react; None where there is none, ``note`` says why."""

    compared: bool
    """True where actors see all inventories, so that it is their equilibrium; False where it stands beside"""
    payoffs: dict[str, float] | None
    control_distance: float | None
    inventory_distance: float | None
    collusion_index: float | None
    """with its zero at the feedback equilibrium"""
    reactions: dict[str, dict[str, ReactionMetrics]]
    """by agent and control"""
    reaction_distance: float | None
    """relative distance of all reaction coefficients, in control units"""
    note: str


class RandomStartAgent(TypedDict):
    """One agent's means over random starts, in currency, with standard errors over pairs of starts; None for what was
    not found."""

    learned: float
    learned_se: float
    exploitability: float | None
    exploitability_se: float | None
    over_feedback: float | None
    """payoff less that of the feedback equilibrium from the same starts"""
    over_feedback_se: float | None


class RandomStartMetrics(TypedDict):
    """Policies over random starts."""

    inventory_spread: float
    """standard deviation of initial inventories, in shares"""
    pairs: int
    """of antithetic starts"""
    exploitability_against: str
    deviator: str
    """what a deviator may look at"""
    agents: dict[str, RandomStartAgent]
    nash_conv: float | None
    nash_conv_se: float | None
    relative_nash_conv: float | None
    """over the sum of the sizes of the nominal game's equilibrium payoffs"""
    relative_nash_conv_se: float | None
    feedback_pairs: int
    """pairs of starts from which there is a feedback equilibrium to compare with"""
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
    deviator: NotRequired[str]
    """what a deviator may look at; older files do not say"""
    memory: NotRequired[str]
    """where policies react and remember: what that does to gains"""
    exploitability_bounds: NotRequired[dict[str, float]]
    """by agent: no deviation near the paths gains more, where that is known"""
    feedback: NotRequired[FeedbackMetrics]
    random_starts: NotRequired[RandomStartMetrics]
    """of a run with an ``inventory_spread``"""
    drawn_markets: NotRequired[int]
    """drawn, over which these are means; not where there is one game"""
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

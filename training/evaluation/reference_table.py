"""Reference profiles beside a learned one, as plain numbers; and the learned one's place between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache

import numpy as np

from ...baselines import Equilibrium
from ...baselines.gains import payoff_size
from ...baselines.kind import QUICK_PATHS, Kind
from ...baselines.kinds import kind_of
from ...baselines.profiles import Reference, undisturbed
from ...baselines.reference_points import OPEN_LOOP, colluders, place
from ...envs import Controls, Game, draw_noise
from ...envs.arrays import Array
from .distances import along, control_distance
from .metrics import ProfileMetrics


def reference_profiles(equilibrium: Equilibrium) -> dict[str, ProfileMetrics]:
    """Payoffs, NashConv and distance of rules of thumb and reference points, by name; those of the last equilibria are
    kept, since seeds share theirs."""
    return deepcopy(_profiles(equilibrium))


@lru_cache(maxsize=4)
def _profiles(equilibrium: Equilibrium) -> dict[str, ProfileMetrics]:
    kind = kind_of(equilibrium.game, equilibrium.steps)
    table = {name: each for name, each in kind.references(equilibrium).items() if name != OPEN_LOOP}
    entries = {name: _entry(each, equilibrium) for name, each in table.items()}
    for name, each in table.items():
        if each.payoffs is not None:
            entries[name]["collusion_index"] = index_of(kind, each.payoffs, equilibrium.payoffs, entries)
    return entries


def profile_entry(
    kind: Kind[Game], reference: Reference, equilibrium: Equilibrium, compared: Mapping[str, ProfileMetrics]
) -> ProfileMetrics:
    """The same of one more reference point, beside those that are known."""
    entry = _entry(reference, equilibrium)
    if reference.payoffs is not None:
        entry["collusion_index"] = index_of(kind, reference.payoffs, equilibrium.payoffs, compared)
    return entry


def _entry(reference: Reference, equilibrium: Equilibrium) -> ProfileMetrics:
    profile, payoffs, gains = reference.profile, reference.payoffs, reference.nash_conv
    if profile is None or payoffs is None:
        return ProfileMetrics(
            payoffs=None, relative_nash_conv=None, control_distance=None, collusion_index=None, note=reference.note
        )
    game = equilibrium.game
    if isinstance(profile, Controls):
        distance = control_distance(profile, equilibrium)
    else:
        noise = draw_noise(game, equilibrium.steps, QUICK_PATHS, seed=0)
        played = undisturbed(game, profile, equilibrium.steps, noise).controls
        distance = control_distance(played, along(equilibrium, noise))
    return {
        "payoffs": dict(zip(game.agents, payoffs.tolist(), strict=True)),
        "relative_nash_conv": None if gains is None else gains / payoff_size(equilibrium.payoffs),
        "control_distance": distance,
        "note": reference.note,
    }


def _best(kind: Kind[Game], compared: Mapping[str, ProfileMetrics]) -> Array | None:
    """(n,) payoffs at the optimum of those who could collude."""
    found = compared.get(kind.capabilities.optimum)
    best = None if found is None else found["payoffs"]
    return None if best is None else np.array(list(best.values()))


def index_of(kind: Kind[Game], payoffs: Array, nash: Array, compared: Mapping[str, ProfileMetrics]) -> float | None:
    """The collusion index of the colluders' total payoff; None where there is no optimum to collude on."""
    return place(kind, payoffs, nash, _best(kind, compared))


def index_error(kind: Kind[Game], error: float, nash: Array, compared: Mapping[str, ProfileMetrics]) -> float | None:
    """Standard error of the collusion index from that of the total payoff."""
    best = _best(kind, compared)
    if best is None or index_of(kind, nash, nash, compared) is None:
        return None
    return error / (colluders(kind.game, best) - colluders(kind.game, nash))

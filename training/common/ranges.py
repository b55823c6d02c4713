"""What each hyperparameter may be: a function that returns its value, or raises ValueError with what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from ...envs.arrays import is_number, is_whole
from ...envs.names import suggestion

Check = Callable[[str, object], object]
"""from a name, for messages, and a value to the value as it is kept: numbers as float or int, lists as tuples"""
ACTIVATIONS = {"tanh": "Tanh", "relu": "ReLU", "elu": "ELU", "leaky_relu": "LeakyReLU", "silu": "SiLU"}
"""names of functions between layers, and of their classes in :mod:`torch.nn`"""
_AUTO = "auto"


def _refused(name: str, expected: str, value: object) -> ValueError:
    return ValueError(f"{name}: expected {expected}, got {value!r}")


def _fits(value: object, fits: Callable[[float], bool]) -> bool:
    return is_number(value) and math.isfinite(cast(float, value)) and fits(cast(float, value))


def _number(expected: str, fits: Callable[[float], bool]) -> Check:
    def check(name: str, value: object) -> float:
        if not _fits(value, fits):
            raise _refused(name, expected, value)
        return float(cast(float, value))

    return check


def _whole(least: int) -> Check:
    def check(name: str, value: object) -> int:
        if not is_whole(value) or value < least:
            raise _refused(name, f"a whole number >= {least}", value)
        return int(value)

    return check


def _optional(inner: Check) -> Check:
    return lambda name, value: None if value is None else inner(name, value)


def _ends(name: str, value: object) -> tuple[float, float]:
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(_fits(each, lambda x: x > 0) for each in pair):
        raise _refused(name, "a number > 0, or a list of two: at the start and at the end", value)
    return float(cast(float, pair[0])), float(cast(float, pair[1]))


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refused(name, "true or false", value)
    return value


def _widths(name: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not all(is_whole(each) and each > 0 for each in value):
        raise _refused(name, "a list of positive whole numbers", value)
    return tuple(int(each) for each in value)


def _activation(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise ValueError(f"{name}: {suggestion(value, ACTIVATIONS)}expected one of {list(ACTIVATIONS)}, got {value!r}")
    return value


def _entropy(name: str, value: object) -> float | str:
    """A number, ``"auto"``, or ``"auto_0.005"``, from which it is then adapted."""
    if isinstance(value, str):
        start, _, first = value.partition("_")
        if start == _AUTO and (value == _AUTO or _is_positive(first)):
            return value
    elif _fits(value, lambda x: x >= 0):
        return float(cast(float, value))
    raise _refused(name, "a number >= 0, 'auto', or 'auto_' and a number > 0", value)


def _is_positive(text: str) -> bool:
    try:
        return _fits(float(text), lambda x: x > 0)
    except ValueError:
        return False


_positive = _number("a number > 0", lambda x: x > 0)
_not_negative = _number("a number >= 0", lambda x: x >= 0)
_fraction = _number("a number in [0, 1]", lambda x: 0 <= x <= 1)

CHECKS: dict[str, Check] = {
    "learning_rate": _ends,
    "exploration": _ends,
    "gamma": _fraction,
    "gae_lambda": _fraction,
    "n_epochs": _whole(1),
    "minibatches": _whole(1),
    "clip_range": _positive,
    "magnet": _not_negative,
    "magnet_rate": _number("a number in (0, 1]", lambda x: 0 < x <= 1),
    "natural_step": _ends,
    "damping": _positive,
    "clip_range_vf": _optional(_positive),
    "target_kl": _optional(_positive),
    "n_critic_updates": _whole(1),
    "cg_max_steps": _whole(1),
    "cg_damping": _not_negative,
    "line_search_shrinking_factor": _number("a number in (0, 1)", lambda x: 0 < x < 1),
    "line_search_max_iter": _whole(1),
    "sub_sampling_factor": _whole(1),
    "normalize_advantage": _switch,
    "vf_coef": _not_negative,
    "max_grad_norm": _positive,
    "use_rms_prop": _switch,
    "rms_prop_eps": _positive,
    "net_arch": _widths,
    "activation_fn": _activation,
    "lstm_hidden_size": _whole(1),
    "n_critics": _whole(1),
    "n_quantiles": _whole(1),
    "batch_size": _whole(1),
    "tau": _number("a number in (0, 1]", lambda x: 0 < x <= 1),
    "gradient_steps": _whole(1),
    "learning_starts": _whole(0),
    "replay_episodes": _whole(1),
    "critic_first": _number("a number in [0, 1)", lambda x: 0 <= x < 1),
    "ent_coef": _entropy,
    "target_update_interval": _whole(1),
    "policy_delay": _whole(1),
    "top_quantiles_to_drop_per_net": _whole(0),
    "markets": _whole(1),
}


def checked(name: str, value: object) -> object:
    """A hyperparameter's value as it is kept; one of no known name stays as it is.

    Raises:
        ValueError: it is none of what it may be.
    """
    return CHECKS[name](name, value) if name in CHECKS else value

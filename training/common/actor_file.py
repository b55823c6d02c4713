"""Files of actors: numbers alone, read without pickle; nothing in them is run. Needs the extra ``train``.

A file is one of the library safetensors: a header in JSON, and arrays of single precision behind it. Its entry
``makertaker`` of text is JSON again, and describes the actor:

================  =================================================================================================
``format``        1; a reader refuses later ones
``observations``  number of entries of an observation
``visible``       number of leading entries that the actor sees
``history``       number of observations that it sees them of, the newest last; 1 where the entry is missing
``gru``           hidden entries of a gated recurrent unit before the layers; 0: there is none
``lstm``          the same of long short-term memory; 0 where the entry is missing
``hidden``        widths of the hidden layers
``activation``    between the layers: ``"tanh"``, ``"relu"``, ``"elu"``, ``"leaky_relu"`` or ``"silu"``
``squashed``      true: outputs pass through tanh onto the range of actions; false: they are truncated at it
``actions``       number of entries of an action
================  =================================================================================================

Arrays: ``low`` and ``high``, the range of actions in the market's units; ``layers.0.weight`` (outputs, inputs) and
``layers.0.bias`` and so on, the last layer behind the hidden ones; ``gru.weight_ih``, ``gru.weight_hh``,
``gru.bias_ih`` and ``gru.bias_hh`` as PyTorch's ``GRUCell`` has them, or ``lstm.weight_ih`` and so on as its
``LSTMCell`` has them.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...envs import text
from ...envs.arrays import Array
from ...envs.market import Setting
from .actor import GATES, UNITS, Actor, Layer

SUFFIX = "safetensors"
FORMAT = 1
_ENTRY = "makertaker"
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    format: _Count
    observations: _Count
    visible: _Count
    gru: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    hidden: list[_Count]
    activation: Literal["tanh", "relu", "elu", "leaky_relu", "silu"]
    squashed: bool
    actions: _Count
    history: _Count = 1
    lstm: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0

    def units(self) -> dict[str, int]:
        """Hidden entries of the recurrent units, by name; of one at most."""
        found = {name: getattr(self, name) for name in UNITS if getattr(self, name)}
        if len(found) > 1:
            raise ValueError(f"expected one recurrent unit at most, got {found}")
        return found


def write(actor: Actor, path: Path) -> None:
    """Write an actor's file, whole. Raises FloatingPointError where a number is not finite."""
    arrays = actor.arrays()
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise FloatingPointError(f"{path.name}: {name} is not finite")
    document = {
        "format": FORMAT,
        "observations": actor.observations,
        "visible": actor.visible,
        **{name: 0 if (unit := getattr(actor, name)) is None else unit.weight_hh.shape[1] for name in UNITS},
        "history": actor.history,
        "hidden": [len(each.bias) for each in actor.layers[:-1]],
        "activation": actor.activation,
        "squashed": actor.squashed,
        "actions": len(actor.low),
    }
    text.write(path, save(arrays, {_ENTRY: json.dumps(document)}))


def read(path: Path) -> Actor:
    """Read an actor's file.

    Raises:
        ValueError: it is not one, or is damaged, or of a later format.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, framework="np") as file:
            header, names = _header((file.metadata() or {}).get(_ENTRY)), list(file.keys())
            if other := {each: kind for each in names if (kind := file.get_slice(each).get_dtype()) != "F32"}:
                raise ValueError(f"expected arrays of F32, single precision, got {other}")
            return _built(header, {name: file.get_tensor(name) for name in names})
    except (SafetensorError, RecursionError, TypeError) as error:
        raise ValueError(f"it is no file of numbers: {error}") from error


def _header(written: str | None) -> _Header:
    if written is None:
        raise ValueError(f"expected an entry {_ENTRY!r} in its header, there is none")
    found = json.loads(written)
    if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] > FORMAT:
        raise ValueError(f"it is of a later version: expected format {FORMAT}, got {found['format']}")
    return msgspec.convert(found, _Header)


def _built(header: _Header, arrays: dict[str, Array]) -> Actor:
    """The actor. Raises ValueError where arrays are not those that the header asks for."""
    units, inputs, actions = header.units(), header.history * header.visible, header.actions
    widths = [*(units.values() or [inputs]), *header.hidden, actions]
    expected: dict[str, tuple[int, ...]] = {"low": (actions,), "high": (actions,)}
    for i, (before, after) in enumerate(pairwise(widths)):
        expected |= {f"layers.{i}.weight": (after, before), f"layers.{i}.bias": (after,)}
    for name, hidden in units.items():
        rows = GATES[name] * hidden
        expected |= {f"{name}.weight_ih": (rows, inputs), f"{name}.weight_hh": (rows, hidden)}
        expected |= {f"{name}.bias_ih": (rows,), f"{name}.bias_hh": (rows,)}
    given = {name: value.shape for name, value in arrays.items()}
    if given != expected:
        raise ValueError(f"expected arrays {expected}, got {given}")
    if header.visible > header.observations:
        raise ValueError(f"visible: expected at most the {header.observations} observations, got {header.visible}")
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    exact = {name: value.astype(float) for name, value in arrays.items()}
    layers = (Layer(exact[f"layers.{i}.weight"], exact[f"layers.{i}.bias"]) for i in range(len(widths) - 1))
    recurrent: dict[str, Any] = {
        name: UNITS[name](*(exact[f"{name}.{part}"] for part in UNITS[name]._fields)) for name in units
    }
    low, high = exact["low"], exact["high"]
    shape = header.observations, header.visible, header.activation, header.squashed
    return Actor(*shape, low, high, tuple(layers), history=header.history, **recurrent)


def load(market: Setting, agent: str, path: Path) -> Actor:
    """An agent's actor in a market.

    Raises:
        ValueError: as :func:`read` does; or it is of another game.
        OSError: the file cannot be read.
    """
    actor, space = read(path), market.action_space(agent)
    same = np.array_equal(actor.low, space.low) and np.array_equal(actor.high, space.high)
    if not same or (actor.observations,) != market.observation_space.shape:
        raise ValueError("its observations or actions are not those of the game")
    return actor

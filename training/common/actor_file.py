"""Files of actors: numbers alone, read without pickle; nothing in them is run. Needs the extra ``train``.

A file is one of the library safetensors: a header in JSON, and arrays of single precision behind it. Its entry
``makertaker`` of text is JSON again, and describes the actor:

================  =================================================================================================
``format``        1; a reader refuses later ones
``observations``  number of entries of an observation
``visible``       number of leading entries that the actor sees
``gru``           entries of memory of a gated recurrent unit before the layers; 0: there is none
``hidden``        widths of the hidden layers
``activation``    between the layers: ``"tanh"``, ``"relu"``, ``"elu"``, ``"leaky_relu"`` or ``"silu"``
``squashed``      true: outputs pass through tanh onto the range of actions; false: they are truncated at it
``actions``       number of entries of an action
================  =================================================================================================

Arrays: ``low`` and ``high``, the range of actions in the market's units; ``layers.0.weight`` (outputs, inputs) and
``layers.0.bias`` and so on, the last layer behind the hidden ones; ``gru.weight_ih``, ``gru.weight_hh``,
``gru.bias_ih`` and ``gru.bias_hh`` as PyTorch's ``GRUCell`` has them.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...envs import text
from ...envs.arrays import Array
from ...envs.market import Market
from .actor import Actor, Gru, Layer

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
        "gru": actor.start().shape[-1],
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
    memory, visible, actions = header.gru, header.visible, header.actions
    widths = [memory or visible, *header.hidden, actions]
    expected: dict[str, tuple[int, ...]] = {"low": (actions,), "high": (actions,)}
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        expected |= {f"layers.{i}.weight": (outputs, inputs), f"layers.{i}.bias": (outputs,)}
    if memory:
        expected |= {"gru.weight_ih": (3 * memory, visible), "gru.weight_hh": (3 * memory, memory)}
        expected |= {"gru.bias_ih": (3 * memory,), "gru.bias_hh": (3 * memory,)}
    given = {name: value.shape for name, value in arrays.items()}
    if given != expected:
        raise ValueError(f"expected arrays {expected}, got {given}")
    if visible > header.observations:
        raise ValueError(f"visible: expected at most the {header.observations} observations, got {visible}")
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    exact = {name: value.astype(float) for name, value in arrays.items()}
    layers = (Layer(exact[f"layers.{i}.weight"], exact[f"layers.{i}.bias"]) for i in range(len(widths) - 1))
    gru = Gru(*(exact[f"gru.{name}"] for name in Gru._fields)) if memory else None
    low, high = exact["low"], exact["high"]
    shape = header.observations, visible, header.activation, header.squashed
    return Actor(*shape, low, high, tuple(layers), gru)


def load(market: Market, agent: str, path: Path) -> Actor:
    """An agent's actor in a market.

    Raises:
        ValueError: as :func:`read` does; or it is of another game, or has a memory, which no policy has here.
        OSError: the file cannot be read.
    """
    actor, space = read(path), market.action_space(agent)
    same = np.array_equal(actor.low, space.low) and np.array_equal(actor.high, space.high)
    if not same or (actor.observations,) != market.observation_space.shape:
        raise ValueError("its observations or actions are not those of the game")
    if actor.gru is not None:
        raise ValueError("expected an actor without memory, which evaluation is of, got one with a GRU")
    return actor

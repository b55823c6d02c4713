"""Actions by role, in JAX and PyTorch: no order is guessed, and NaN is refused where it is known."""

import numpy as np
import pytest

from makertaker.envs import acas_v0
from support.arrays import jax_precision

SHAPES = {
    "(N, w)": lambda each: each,
    "(N, 1, w)": lambda each: each[..., None, :],
    "(1, N, w)": lambda each: each[None],
}
WRONG = [
    ("trader", (1,), r"trader: expected actions of shape \(2, 1\), got \(1,\)"),
    ("trader", (1, 2), None),
    ("trader", (3, 1), r"trader: expected actions of shape \(2, 1\), got \(3, 1\)"),
    ("maker", (2, 3), r"maker: expected actions of shape \(3, 2\), got \(2, 3\)"),
    ("maker", (6,), r"maker: expected actions of shape \(3, 2\), got \(6,\)"),
    ("maker", (2,), r"maker: expected actions of shape \(3, 2\), got \(2,\)"),
    ("maker", (2, 1), r"maker: expected actions of shape \(3, 2\), got \(2, 1\)"),
    ("maker", (3, 2, 2), r"maker: expected actions of shape \(3, 2\), got \(3, 2, 2\)"),
]
GAME = "acas-2x3"


def rows(seed=0, batch=()):
    rng = np.random.default_rng(seed)
    return {"trader": rng.uniform(-0.5, 0.5, (*batch, 2, 1)), "maker": rng.uniform(-0.5, 0.5, (*batch, 3, 2))}


def expected(actions):
    """Controls of one market, by the NumPy environment."""
    env = acas_v0.parallel_env(scenario=GAME)
    flat = [*actions["trader"], *actions["maker"]]
    return env.controls_from(dict(zip(env.possible_agents, flat, strict=True)))


@pytest.fixture
def jax_market():
    pytest.importorskip("jax")
    from makertaker.envs.jax_env import JaxMarket

    with jax_precision():
        yield JaxMarket(GAME)


@pytest.mark.parametrize("shape", SHAPES)
def test_jax_takes_axes_of_length_one(jax_market, shape):
    actions = rows()
    found = jax_market.controls({role: SHAPES[shape](each) for role, each in actions.items()})
    for one, other in zip(found, expected(actions), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(("role", "shape", "message"), WRONG)
def test_jax_refuses_other_shapes_traced_or_not(jax_market, role, shape, message):
    import jax

    actions = rows() | {role: np.zeros(shape)}
    _, state = jax_market.reset(jax.random.key(0))
    for step in (jax_market.step, jax.jit(jax_market.step)):
        if message is None:
            step(jax.random.key(0), state, actions)
            continue
        with pytest.raises(ValueError, match=message):
            step(jax.random.key(0), state, actions)


def test_jax_refuses_nan_and_other_roles(jax_market):
    import jax

    bad = rows()
    bad["maker"][1, 0] = np.nan
    with pytest.raises(ValueError, match="maker: expected numbers, got actions with NaN"):
        jax_market.controls(bad)
    assert np.isnan(jax.jit(jax_market.controls)(bad).ask).any(), "a traced array has no values"
    for named in ({"trader": np.zeros((2, 1))}, rows() | {"noise": np.zeros(1)}):
        with pytest.raises(ValueError, match=r"actions: expected one entry for each of \['trader', 'maker'\], got"):
            jax_market.controls(named)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_torch_mixes_no_markets_and_agents(batch):
    """With as many markets as agents a missing axis could be either."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchrl")
    from makertaker.envs.torchrl_env import TorchMarket

    env = TorchMarket(GAME, num_envs=np.int64(batch), dtype=torch.float64)
    actions = rows(batch=(batch,))
    singles = [expected({role: each[i] for role, each in actions.items()}) for i in range(batch)]
    plain = {role: torch.as_tensor(each) for role, each in actions.items()}
    for traders in (plain["trader"], plain["trader"][..., 0], plain["trader"][..., None]):
        start = env.reset()
        for group, value in (plain | {"trader": traders}).items():
            start.set(group, {"action": value})
        found = env.controls(start)
        for name in ("rate", "ask", "bid"):
            np.testing.assert_allclose(getattr(found, name), [getattr(each, name) for each in singles], rtol=1e-12)


@pytest.mark.parametrize(
    ("group", "value", "message"),
    [
        ("maker", np.zeros((2, 2, 3)), r"maker: expected actions of shape \(2, 3, 2\), got \(2, 2, 3\)"),
        ("trader", np.zeros((2, 1)), r"trader: expected actions of shape \(2, 2, 1\), got \(2, 1\)"),
        ("maker", np.full((2, 3, 2), np.nan), "maker: expected numbers, got actions with NaN"),
    ],
)
def test_torch_refuses_other_shapes_and_nan(group, value, message):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchrl")
    from makertaker.envs.torchrl_env import TorchMarket

    env = TorchMarket(GAME, num_envs=2)
    start = env.reset()
    for name, each in (rows(batch=(2,)) | {group: value}).items():
        start.set(name, {"action": torch.as_tensor(each, dtype=torch.float32)})
    with pytest.raises(ValueError, match=message):
        env.step(start)

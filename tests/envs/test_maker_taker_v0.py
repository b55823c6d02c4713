"""The environment of the general maker-taker game passes the interfaces' own checkers."""

import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test

from makertaker.envs import QuarticImpact, SoftmaxShare, maker_taker_v0
from support.env_markets import NOT_NORMALISED


@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("game", [{}, {"competition": SoftmaxShare(2.0), "impact": QuarticImpact(0.5, 0.01)}])
def test_pettingzoo_checks_pass(game, normalize):
    options = {"steps": 5, "normalize": normalize}
    parallel_api_test(maker_taker_v0.parallel_env(**options, **game), num_cycles=12)
    for form in (maker_taker_v0.env, maker_taker_v0.raw_env):
        api_test(form(**options, **game), num_cycles=12)


@pytest.mark.parametrize("normalize", [True, None])
def test_gymnasium_check_passes(normalize):
    options = {"agent": "maker_0", "steps": 5, "inventory_spread": 1.0, "normalize": normalize}
    env = gymnasium.make("makertaker/MakerTaker-v0", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if normalize is None:  # actions in control units have bounds of their own
            warnings.filterwarnings("ignore", message=NOT_NORMALISED)
        check_env(env.unwrapped, skip_render_check=True)

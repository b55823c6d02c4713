"""Markets that several files play."""

import pytest

from support.env_markets import EXECUTION_MARKETS


@pytest.fixture(params=EXECUTION_MARKETS)
def execution_market(request):
    """A market with a buyer, a seller and a trader without orders, with and without a factor of two components."""
    return EXECUTION_MARKETS[request.param]

"""What several files of tests share."""

import jaxrl_envs
import pytest
from barfi_cases import TINY

from jaxrl_rewards.networks.cosine_basis import cosine_basis
from jaxrl_rewards.reward_design import barfi_loop


@pytest.fixture(scope="module")
def square():
    env = jaxrl_envs.make("gridworld-continuous")
    return barfi_loop.Barfi(env, cosine_basis, TINY)

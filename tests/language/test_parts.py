"""The two parts of a task's problems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.language import Arithmetic, TokenWorld
from jaxrl_envs.language.parts import in_test_part, prompt_of_part

from jaxrl_rewards.core import InputError

TASK = Arithmetic(max_level=2)


@pytest.mark.parametrize("level", [1, 2])
def test_no_problem_is_in_both_parts(level):
    def prompts(part):
        def one(key):
            found = prompt_of_part(TASK, key, jnp.int32(level), part)
            return found.tokens, found.length

        keys = jax.random.split(jax.random.key(level), 2000)
        tokens, length = jax.jit(jax.vmap(one))(keys)
        assert (np.asarray(length) == 2 * level + 2).all()
        return {tuple(row) for row in np.asarray(tokens)}

    train, test = prompts("train"), prompts("test")
    assert not train & test
    assert len(test) > (10 if level == 1 else 500)


def test_one_problem_in_five_is_held_back():
    prompts = TASK.prompts(jax.random.key(0), 4000)
    share = jnp.mean(jax.vmap(in_test_part)(prompts.tokens, prompts.length).astype(jnp.float32))
    assert 0.17 < float(share) < 0.23


def test_unknown_parts_are_told():
    world = TokenWorld(TASK, part="validation")
    with pytest.raises(InputError, match="part 'validation' is unknown"):
        world.reset(jax.random.key(0), world.default_params())

"""Each way in which a world may break the contract gets one sentence."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jaxrl_envs import registry

from jaxrl_rewards.core import Box, DictSpace, Discrete, EnvSpec, check_env, record
from jaxrl_rewards.learners import GroupConfig, PPOConfig, make_group, make_ppo
from tests.learners.toys import Bandit, Corridor


def changed(**changes):
    """A Corridor with some methods or parts of its spec replaced."""
    env = Corridor()
    spec = {name: changes.pop(name) for name in list(changes) if hasattr(env.spec, name)}
    if spec:
        env.spec = dataclasses.replace(env.spec, **spec)
    for name, function in changes.items():
        setattr(env, name, function.__get__(env))
    return env


def altered(what, **fields):
    """A method of Corridor whose TimeStep has other fields."""

    def method(self, *arguments):
        state, timestep = getattr(Corridor, what)(self, *arguments)
        values = {name: make(timestep) for name, make in fields.items()}
        return state, timestep.replace(**values)

    return {what: method}


@record
class Plain:
    reward: object = lambda prev, action, nxt: 1.0
    limit: int = 4


def wrong_order(self, state, key, action, params):
    return Corridor.step(self, key, state, action, params)


def grows(self, key, state, action, params):
    state, timestep = Corridor.step(self, key, state, action, params)
    return (state, state), timestep


CASES = {
    "a name": (lambda: "CartPole-v1", "got the name 'CartPole-v1'; make it"),
    "a class": (lambda: Corridor, r"got the class Corridor; call it: Corridor\(\)"),
    "no methods": (lambda: object(), r"has no method default_params\(\)"),
    "an odd spec": (lambda: _with_spec(None), "must be an EnvSpec"),
    "max_steps": (lambda: changed(max_steps=0), "max_steps must be at least 1, got 0"),
    "a negative limit": (lambda: changed(max_steps=-5), "got -5"),
    "an unhashable spec": (
        lambda: changed(observation_space=Box(-1.0, 1.0, [2])), "hashable.*use tuples"
    ),
    "a list of names": (lambda: changed(term_names=["position"]), "must be a tuple of names"),
    "one text of names": (lambda: changed(term_names="position"), "must be a tuple of names"),
    "names of other terms": (
        lambda: changed(term_names=("foo",)),
        r"term_names \['foo'\] must name.*\['effort', 'position'\]",
    ),
    "an odd space": (lambda: changed(action_space=3), "action_space must be a Box, Discrete"),
    "a wrong shape": (
        lambda: changed(observation_space=Box(-1.0, 1.0, (3,))),
        r"reset's obs must be float32\[3\].*got float32\[2\]",
    ),
    "a wrong dtype": (
        lambda: changed(**altered("step", obs=lambda t: t.obs.astype(jnp.int32))),
        r"step's obs must be float32\[2\].*got int32\[2\]",
    ),
    "a missing part": (
        lambda: changed(observation_space=DictSpace.of(a=Box(-1.0, 1.0, (2,)))),
        r"dict with the parts \['a'\]",
    ),
    "a batched reward": (
        lambda: changed(**altered("step", reward=lambda t: t.reward[None])),
        r"step's reward must be a float32 scalar, got float32\[1\]",
    ),
    "an integer reward": (
        lambda: changed(**altered("step", reward=lambda t: t.reward.astype(jnp.int32))),
        r"step's reward must be a float32 scalar, got int32\[\]",
    ),
    "an end that is a number": (
        lambda: changed(**altered("step", terminated=lambda t: t.reward)),
        "step's terminated must be a bool scalar",
    ),
    "other terms": (
        lambda: changed(**altered("step", terms=lambda t: {"x": t.reward},
                                  applicable=lambda t: {"x": t.terminated})),
        r"terms of reset \['effort', 'position'\] and of step \['x'\]",
    ),
    "unlike masks": (
        lambda: changed(**altered("reset", applicable=lambda t: {})),
        "must have the same names",
    ),
    "a tuple": (
        lambda: changed(reset=lambda self, key, params: (0, (jnp.zeros(2), 0.0))),
        "its second value is a tuple; build a",
    ),
    "five values": (
        lambda: changed(step=lambda self, *a: (1, 2, 3, 4, 5)),
        r"must return \(state, TimeStep\), it returns 5 values",
    ),
    "swapped results": (
        lambda: changed(reset=lambda self, key, params: Corridor.reset(self, key, params)[::-1]),
        r"returns \(TimeStep, state\); swap them",
    ),
    "swapped arguments": (lambda: changed(step=wrong_order), "fails when called in that order"),
    "a growing state": (lambda: changed(step=grows), "changes the structure of the state"),
    "a state that changes dtype": (
        lambda: changed(step=lambda self, key, s, a, p: _retyped(self, key, s, a, p)),
        r"changes the state's .x from float32\[\] to int32\[\]",
    ),
    "a plain function as reward": (
        lambda: changed(default_params=lambda self: Plain()),
        "plain function.*reward_term",
    ),
    "a mask of the wrong size": (
        lambda: changed(valid_actions=lambda obs: jnp.ones(3, bool)),
        r"must give bool\[2\], got bool\[3\]",
    ),
    "a mask for a Box": (
        lambda: changed(action_space=Box(-1.0, 1.0, ()), valid_actions=lambda obs: obs > 0),
        "needs a Discrete action_space",
    ),
}  # fmt: skip


def _with_spec(spec):
    env = Corridor()
    env.spec = spec
    return env


def _retyped(self, key, state, action, params):
    state, timestep = Corridor.step(self, key, state, action, params)
    return state.replace(x=state.x.astype(jnp.int32)), timestep


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_gets_one_sentence(name):
    make, message = CASES[name]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        check_env(make())
    assert "\n" not in str(caught.value)


def test_numbers_are_looked_at_when_asked():
    narrow = changed(observation_space=Box(-0.1, 0.1, (2,)))
    check_env(narrow)
    with pytest.raises(ValueError, match=r"observation of step \d+ lies outside Box"):
        check_env(narrow, run=True)
    counts = changed(
        observation_space=Discrete(2),
        reset=lambda self, key, p: _counted(Corridor.reset(self, key, p)),
        step=lambda self, key, s, a, p: _counted(Corridor.step(self, key, s, a, p)),
    )
    with pytest.raises(ValueError, match=r"lies outside Discrete\(n=2\)"):
        check_env(counts, run=True)
    broken = changed(**altered("step", reward=lambda t: t.reward * jnp.nan))
    with pytest.raises(ValueError, match="reward of step 1 is not finite"):
        check_env(broken, run=True)
    check_env(Corridor(), run=True)


def _counted(out):
    state, timestep = out
    return state, timestep.replace(obs=state.time, final_obs=state.time)


def test_worlds_of_other_libraries_name_the_way_in():
    gymnax = pytest.importorskip("gymnax")
    with pytest.raises(TypeError, match="is a world of gymnax.*from_gymnax"):
        check_env(gymnax.make("CartPole-v1")[0])
    gymnasium = pytest.importorskip("gymnasium")
    with pytest.raises(TypeError, match="is a world of gymnasium"):
        check_env(gymnasium.make("CartPole-v1"))


def test_learners_check_their_world_before_anything_is_compiled():
    for make in (
        lambda env: make_ppo(env, PPOConfig(num_envs=1, unroll_length=4)),
        lambda env: make_group(env, GroupConfig(num_prompts=1)),
    ):
        with pytest.raises(TypeError, match="got the name 'Pendulum-v1'"):
            make("Pendulum-v1")
        with pytest.raises(TypeError, match="got the class Bandit"):
            make(Bandit)


@pytest.mark.parametrize("name", [n for n in registry.names() if "retarget" not in n])
def test_registered_worlds_pass(name):
    check_env(registry.make(name))


def test_a_spec_is_a_plain_record():
    assert EnvSpec("x", Discrete(2), Discrete(2), 3, ()).valid_actions is None
    assert jax.tree.leaves(Corridor().spec) == [Corridor().spec]

"""Small versions of the real learners, by name, for tests of the training loop."""


def make_learner(name: str):
    """`ppo` or `grpo` on CartPole."""
    from jaxrl_envs.control import CartPole

    if name == "ppo":
        from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo

        config = PPOConfig(
            num_envs=8,
            unroll_length=32,
            num_epochs=2,
            num_minibatches=2,
            hidden=(32, 32),
            normalise_observations=True,
            normalise_rewards=True,
        )
        return make_ppo(CartPole(), config)
    if name == "grpo":
        from jaxrl_rewards.learners.grpo import GRPOConfig, make_grpo

        return make_grpo(CartPole(), GRPOConfig(num_prompts=4, group_size=4, horizon=32))
    raise ValueError(f"unknown learner {name!r}")

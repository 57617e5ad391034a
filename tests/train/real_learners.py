"""Small versions of the real learners, by name, for tests of the training loop."""


def make_learner(name: str):
    """`ppo` or `grpo` on CartPole, or `language`: a decoder on sums."""
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
    if name == "language":
        return make_language()
    raise ValueError(f"unknown learner {name!r}")


def make_language():
    """GRPO of a small decoder whose weights are split over a mesh's "model" axis."""
    from jaxrl_envs.language import Arithmetic, TokenWorld

    from jaxrl_rewards.credit import group_relative
    from jaxrl_rewards.learners import GroupConfig, make_group
    from jaxrl_rewards.networks.decoder import DecoderConfig
    from jaxrl_rewards.networks.language_policy import decoder_actor_critic
    from jaxrl_rewards.rollout.generate import token_answers

    env = TokenWorld(Arithmetic(max_level=1))
    env_params = env.default_params()
    # every token is worth something, so that untrained answers differ
    reward = env_params.reward.with_weights({"length": 0.1})
    network = decoder_actor_critic(
        DecoderConfig(
            vocabulary=env.task.vocabulary.size,
            width=16,
            layers=2,
            heads=4,
            kv_heads=2,
            hidden=24,
            max_length=env.spec.max_steps + 1,
        )
    )
    learner = make_group(
        env,
        GroupConfig(num_prompts=4, group_size=4),
        network=network,
        sample=token_answers(env, 4, 4, prompt_width=env.task.prompt_size),
        credit=group_relative("dr_grpo"),
    )
    return learner._replace(
        hparams=learner.hparams.replace(env_params=env_params.replace(reward=reward))
    )

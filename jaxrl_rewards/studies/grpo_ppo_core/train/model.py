"""The model that learns: a decoder from scratch, one from a Hugging Face directory, or adapters."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.networks.decoder import DecoderConfig
from jaxrl_rewards.networks.hugging_face import generation_settings, load_model, save_model
from jaxrl_rewards.networks.language_policy import decoder_actor_critic, init_value_head
from jaxrl_rewards.networks.lora import LoraConfig, lora_actor_critic, merge
from jaxrl_rewards.networks.tokens import TextTokens
from jaxrl_rewards.studies.grpo_ppo_core.train.data import Tokeniser
from jaxrl_rewards.studies.grpo_ppo_core.train.questions import Questions
from jaxrl_rewards.studies.grpo_ppo_core.train.task import LanguageTask

FOLDER = "model"


class Model(NamedTuple):
    """A policy's network, and the weights under it that stay as they are."""

    config: DecoderConfig
    network: Callable[[Any], ActorCritic]
    """The network over frozen weights."""
    frozen: Any
    """() where everything learns."""
    initial: Callable[[jax.Array], Any]
    """Parameters to start from."""
    whole: Callable[[Any], Any]
    """The decoder's weights, adapters merged."""


def make_model(task: LanguageTask, questions: Questions) -> Model:
    """The model that a task names."""
    if task.model is not None:
        return _from_folder(task, questions)
    sizes = task.network
    try:
        config = DecoderConfig(
            vocabulary=questions.vocabulary,
            width=sizes.width,
            layers=sizes.layers,
            heads=sizes.heads,
            kv_heads=sizes.kv_heads,
            hidden=sizes.hidden,
            max_length=questions.env.spec.max_steps + 1,
        )
    except ValueError as error:
        raise InputError(f"--network: {error}") from error
    if task.lora is not None:
        raise InputError("--lora adapts a model that there is; give one with --model FOLDER")
    network = decoder_actor_critic(config)
    return Model(config, lambda frozen: network, (), network.init, lambda params: params["decoder"])


def _from_folder(task: LanguageTask, questions: Questions) -> Model:
    length = questions.env.spec.max_steps + 1
    found = load_model(task.model, max_length=length)
    config, weights = found.config, found.params
    if task.lora is None:
        network = decoder_actor_critic(config, dtype=weights["embedding"].dtype)

        def start(key: jax.Array) -> Any:
            return {"decoder": weights, "value": init_value_head(config)}

        return Model(config, lambda frozen: network, (), start, lambda params: params["decoder"])
    lora = LoraConfig(rank=task.lora)

    def adapted(frozen: Any) -> ActorCritic:
        return lora_actor_critic(config, frozen, lora)

    def start(key: jax.Array) -> Any:
        return adapted(weights).init(key)

    def whole(params: Any) -> Any:
        return merge(weights, params["decoder"], lora)

    return Model(config, adapted, weights, start, whole)


def tokeniser_of(folder: Path) -> Tokeniser:
    """The tokens of a model's directory; InputError where it has no token that ends an answer."""
    vocabulary = load_model(folder).config.vocabulary
    tokens = TextTokens(folder, vocabulary)
    stop = generation_settings(folder)["stop"]
    if not stop and (word := tokens.settings.get("eos_token")):
        stop = tuple(tokens.encode(word["content"] if isinstance(word, dict) else word)[-1:])
    if not stop:
        raise InputError(
            f"{folder} names no eos_token_id in generation_config.json; add it to end answers"
        )
    return Tokeniser(
        ask=lambda messages: tokens.chat_tokens(messages),
        encode=tokens.encode,
        decode=tokens.decode,
        stop=stop,
        vocabulary=vocabulary,
    )


def save(task: LanguageTask, model: Model, params: Any, out: Path) -> Path | None:
    """The trained weights as a Hugging Face directory, where they came from one."""
    if task.model is None:
        return None
    folder = out / FOLDER
    if folder.is_dir():
        shutil.rmtree(folder)
    save_model(folder, model.config, model.whole(params), source=task.model)
    return folder

"""Hugging Face directories: transformers' logits, the way back, and what is wrong with a folder."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.networks.decoder import head, teacher_forced
from jaxrl_rewards.networks.hugging_face import generation_settings, load_model, save_model
from jaxrl_rewards.networks.language_policy import value_of
from jaxrl_rewards.networks.lora import LoraConfig, init_lora, merge, unmerge
from jaxrl_rewards.networks.safetensors import Tensors, write_safetensors
from jaxrl_rewards.networks.tokens import TextTokens, padded

FIXTURES = Path(__file__).parent / "data" / "hugging_face"
FAMILIES = ("llama", "llama_biased", "qwen2", "qwen2_5_yarn", "qwen3")
read = jax.jit(teacher_forced, static_argnums=1)


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_transformers(name):
    model, expected = load_model(FIXTURES / name), np.load(FIXTURES / name / "expected.npz")
    hidden, _ = read(model.params, model.config, expected["tokens"])
    logits = head(model.params, model.config, hidden)
    np.testing.assert_allclose(logits[:, ::8], expected["logits"], atol=1e-4)


def test_a_reward_head_scores_as_transformers_does():
    model, expected = load_model(FIXTURES / "reward"), np.load(FIXTURES / "reward" / "expected.npz")
    hidden, _ = read(model.params, model.config, expected["tokens"])
    scores = value_of(model.heads["score"], hidden)[:, -1:]
    np.testing.assert_allclose(scores, expected["logits"], atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_out_and_in_again_is_the_same_model(name, tmp_path):
    model = load_model(FIXTURES / name)
    heads = {"v_head.summary": {"kernel": jnp.arange(16.0), "bias": jnp.float32(2.0)}}
    for folder, source in (("like", FIXTURES / name), ("described", None)):
        save_model(
            tmp_path / folder, model.config, model.params,
            heads=heads, source=source, shard_bytes=30_000,
        )  # fmt: skip
        again = load_model(tmp_path / folder)
        assert again.config == model.config
        jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
        jax.tree.map(np.testing.assert_array_equal, again.heads, heads)


def test_adapters_merge_and_come_off():
    params, lora = load_model(FIXTURES / "qwen2").params, LoraConfig(rank=2, places=("query", "up"))
    fresh = init_lora(jax.random.key(0), params, lora)
    jax.tree.map(np.testing.assert_array_equal, merge(params, fresh, lora), params)
    learnt = jax.tree.map(lambda leaf: leaf + 0.1, fresh)
    merged = merge(params, learnt, lora)
    expected = params["layers"]["query"] + 8.0 * (learnt["query"]["down"] @ learnt["query"]["up"])
    np.testing.assert_allclose(merged["layers"]["query"], expected, rtol=1e-5, atol=1e-6)
    back = unmerge(merged, learnt, lora)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), back, params)


def test_text_files():
    text = TextTokens(FIXTURES / "qwen2", vocabulary=300)
    tokens = text.chat_tokens([{"role": "user", "content": "the sum of 3 and 4"}])
    said = "<|im_start|>user\nthe sum of 3 and 4<|im_end|>\n<|im_start|>assistant\n"
    assert text.decode(tokens) == said
    assert b"".join(text.texts()[token] for token in tokens).decode() == said
    assert generation_settings(FIXTURES / "qwen2")["stop"] == (1, 0)
    rows, lengths = padded([[1, 2], [3]])
    assert rows.tolist() == [[1, 2], [3, 0]] and lengths.tolist() == [2, 1]
    with pytest.raises(InputError, match="token 300 is outside the model's vocabulary of 300"):
        text.decode([300])
    text.template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InputError, match="refuses the conversation .roles must alternate"):
        text.chat([])
    text.template = "{{ ''.__class__.__mro__ }}"
    with pytest.raises(InputError, match="refuses the conversation"):
        text.chat([])


def edited(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])


def without_norm(folder):
    tensors = Tensors(folder / "model.safetensors")
    kept = {name: np.array(value) for name, value in tensors.items() if name != "model.norm.weight"}
    write_safetensors(folder / "model.safetensors", kept)


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("qwen3", cut, "is cut off: .* fetch it again"),
        ("qwen3", lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 99), "no whole safet"),
        ("qwen3", lambda f: (f / "model.safetensors").unlink(), "has neither"),
        ("llama", lambda f: (f / "model-00002-of-00002.safetensors").unlink(), "lacks the shard"),
        ("qwen3", without_norm, "lacks the tensor 'model.norm.weight'"),
        ("qwen3", lambda f: edited(f, hidden_size=32), "its config.json asks for"),
        ("qwen3", lambda f: edited(f, model_type="gpt2"), "type 'gpt2'; llama, qwen2, qwen3"),
        ("qwen3", lambda f: edited(f, num_attention_heads="x"), "a positive whole number"),
        ("qwen3", lambda f: edited(f, use_sliding_window=True), "which this decoder lacks"),
        ("qwen3", lambda f: (f / "config.json").write_text("{"), "is not valid JSON"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_sentence(name, harm, message, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / name, folder)
    harm(folder)
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_nothing_half_written(tmp_path):
    model = load_model(FIXTURES / "qwen3")
    wrong = {**model.params, "layers": {**model.params["layers"], "gate": jnp.zeros((2, 3))}}
    with pytest.raises(ValueError, match="layers/gate is .2, 3., the configuration asks for"):
        save_model(tmp_path / "out", model.config, wrong)
    with pytest.raises(InputError, match="cannot be read"):
        save_model(tmp_path / "out", model.config, model.params, source=tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(InputError, match="is there already; give a new folder"):
        save_model(tmp_path / "out", model.config, model.params)

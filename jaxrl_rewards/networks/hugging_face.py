"""Hugging Face model directories in and out: Llama, Qwen2, Qwen2.5 and Qwen3, without torch.

model = load_model("my-folder")                  # config, parameters, reward heads
save_model("out", model, params, source="my-folder")
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json, make_folder
from jaxrl_rewards.core.json_files import read_json
from jaxrl_rewards.networks.decoder import DecoderConfig, Params
from jaxrl_rewards.networks.rotary import Scaling
from jaxrl_rewards.networks.safetensors import Tensors, read_folder, write_folder

FAMILIES = ("llama", "qwen2", "qwen3")
"""`model_type` of the architectures that are read; Qwen2.5 calls itself qwen2."""
KERNELS = {
    "query": "self_attn.q_proj", "key": "self_attn.k_proj", "value": "self_attn.v_proj",
    "output": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}  # fmt: skip
NORMS = {
    "attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm",
    "query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm",
}  # fmt: skip
HEADS = ("score", "v_head.summary", "v_head", "value_head", "regression_head")
"""Names of linear reward and value heads, as trainers store them."""
PREFIXES = ("", "pretrained_model.")
CARRIED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
    "chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model", "added_tokens.json",
)  # fmt: skip
"""Files that `save_model` takes over from the folder that a model came from."""


@dataclasses.dataclass(frozen=True)
class HuggingFaceModel:
    """A directory's contents as the decoder takes them."""

    config: DecoderConfig
    params: Params
    heads: dict[str, Params]
    """Linear heads by name: kernel `[width]` or `[width, outputs]`, and bias, as
    `language_policy.value_of` takes them."""
    description: dict[str, Any]
    """`config.json` as it was."""


def load_model(
    folder: str | os.PathLike, *, max_length: int | None = None, dtype: Any = None
) -> HuggingFaceModel:
    """Read `config.json` and single or sharded safetensors.

    `max_length` is how many tokens a cache holds (at most 2,048 of the model's own limit when
    None), `dtype` that of the parameters (the file's when None). InputError, one sentence, for an
    unknown architecture, missing or cut files, missing tensors and wrong shapes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one with config.json and safetensors")
    description = read_json(folder / "config.json", dict)
    config = decoder_config(description, folder / "config.json", max_length)
    tensors = read_folder(folder)
    prefix = next((p for p in PREFIXES if f"{p}model.embed_tokens.weight" in tensors), "")
    causal = any(f"{p}{h}.weight" in tensors for p in PREFIXES for h in HEADS)
    if not config.tied and f"{prefix}lm_head.weight" not in tensors and causal:
        config = dataclasses.replace(config, tied=True)  # a reward model has no head of words
    params = _read_params(_Reader(folder, tensors, prefix, dtype), config)
    return HuggingFaceModel(config, params, _read_heads(tensors, config), description)


def decoder_config(
    description: Mapping[str, Any], where: Any = "config.json", max_length: int | None = None
) -> DecoderConfig:
    """The decoder that a `config.json` describes; InputError for what this one cannot be."""
    family = description.get("model_type")
    if family not in FAMILIES:
        raise InputError(
            f"{where} describes a model of type {family!r}; {', '.join(FAMILIES)} are read"
        )
    for name, allowed in (
        ("hidden_act", ("silu", "swish", None)), ("mlp_bias", (False, None)),
        ("use_sliding_window", (False, None)), ("quantization_config", (None,)),
        ("partial_rotary_factor", (1, None)), ("pretraining_tp", (1, None)),
    ):  # fmt: skip
        if description.get(name) not in allowed:
            raise InputError(
                f"{where} has {name}={str(description[name])[:40]}, which this decoder lacks; use "
                f"a model with {allowed[0]}"
            )
    size = _Sizes(description, where)
    heads, bias = size("num_attention_heads"), bool(description.get("attention_bias", False))
    limit = size("max_position_embeddings", 2048)
    try:
        return DecoderConfig(
            vocabulary=size("vocab_size"),
            width=size("hidden_size"),
            layers=size("num_hidden_layers"),
            heads=heads,
            kv_heads=size("num_key_value_heads", heads),
            hidden=size("intermediate_size"),
            max_length=min(limit, 2048) if max_length is None else max_length,
            head_width=size("head_dim", 128 if family == "qwen3" else size("hidden_size") // heads),
            tied=bool(description.get("tie_word_embeddings", False)),
            qkv_bias=family == "qwen2" or bias,
            output_bias=family != "qwen2" and bias,
            qk_norm=family == "qwen3",
            epsilon=size("rms_norm_eps", 1e-6, float),
            **_rotary(description, where, limit),
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


class _Sizes:
    """Positive numbers of a description."""

    def __init__(self, description: Mapping[str, Any], where: Any):
        self.description, self.where = description, where

    def __call__(self, name: str, otherwise: Any = ..., kind: type = int) -> Any:
        value = self.description.get(name)
        if value is None and otherwise is not ...:
            return otherwise
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 < value < 2**40 or (kind is int and value != int(value)):
            raise InputError(
                f"{self.where} has {name}={str(value)[:40]}; a positive "
                f"{'whole number' if kind is int else 'number'} is needed"
            )
        return kind(value)


def _rotary(description: Mapping[str, Any], where: Any, limit: int) -> dict[str, Any]:
    """`theta` and `scaling`, from either way in which files have them."""
    rope = description.get("rope_parameters") or description.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise InputError(f"{where} has rotary parameters {str(rope)[:40]}; an object is needed")
    size = _Sizes(rope, f"{where}, rotary parameters:")
    theta = size("rope_theta", _Sizes(description, where)("rope_theta", 10_000.0, float), float)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind in ("default", None):
        return {"theta": theta, "scaling": None}
    if (
        kind not in ("linear", "llama3", "yarn")
        or rope.get("mscale")
        or not rope.get("truncate", 1)
    ):
        raise InputError(
            f"{where} stretches positions by {kind!r} with {sorted(rope)}; linear, llama3 and yarn "
            "are read"
        )
    original = size("original_max_position_embeddings", limit)
    optional = {"low_freq_factor": "low_factor", "high_freq_factor": "high_factor",
                "beta_fast": "beta_fast", "beta_slow": "beta_slow",
                "attention_factor": "attention_factor"}  # fmt: skip
    given = {
        ours: size(name, kind=float)
        for name, ours in optional.items()
        if rope.get(name) is not None
    }
    factor = size("factor", max(limit / original, 1.0), float)
    return {"theta": theta, "scaling": Scaling(kind, factor, original, **given)}


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Tensors of a folder, checked."""

    folder: Path
    tensors: Mapping[str, Tensors]
    prefix: str
    dtype: Any

    def __call__(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        name = self.prefix + name
        if name not in self.tensors:
            raise InputError(f"{self.folder} lacks the tensor {name!r}; fetch the whole model")
        value = self.tensors[name][name]
        if value.shape != shape:
            raise InputError(
                f"{self.folder} holds {name!r} as {list(value.shape)}, its config.json asks for "
                f"{list(shape)}; use files of one model"
            )
        return value if self.dtype is None else value.astype(self.dtype)


def _layer_shapes(config: DecoderConfig) -> dict[str, tuple[str, tuple[int, ...], bool]]:
    """Our name -> (theirs, their shape, whether it is transposed)."""
    size, kv = config.heads * config.size_of_head, config.kv_heads * config.size_of_head
    outputs = {"query": size, "key": kv, "value": kv, "output": config.width}
    outputs |= {"gate": config.hidden, "up": config.hidden, "down": config.width}
    inputs = {"output": size, "down": config.hidden}
    found = {
        name: (f"{theirs}.weight", (outputs[name], inputs.get(name, config.width)), True)
        for name, theirs in KERNELS.items()
    }
    biased = ("query", "key", "value") * config.qkv_bias + ("output",) * config.output_bias
    found |= {f"{name}_bias": (f"{KERNELS[name]}.bias", (outputs[name],), False) for name in biased}
    norms = {"attention_norm": config.width, "mlp_norm": config.width}
    if config.qk_norm:
        norms |= {"query_norm": config.size_of_head, "key_norm": config.size_of_head}
    return found | {
        name: (f"{NORMS[name]}.weight", (width,), False) for name, width in norms.items()
    }


def _read_params(read: _Reader, config: DecoderConfig) -> Params:
    vocabulary, width = config.vocabulary, config.width

    def layers(theirs: str, shape: tuple[int, ...], turned: bool) -> Any:
        parts = (read(f"model.layers.{i}.{theirs}", shape) for i in range(config.layers))
        return jnp.asarray(np.stack([part.T if turned else part for part in parts]))

    params = {
        "embedding": jnp.asarray(read("model.embed_tokens.weight", (vocabulary, width))),
        "layers": {name: layers(*what) for name, what in _layer_shapes(config).items()},
        "norm": jnp.asarray(read("model.norm.weight", (width,))),
    }
    if not config.tied:
        params["head"] = jnp.asarray(read("lm_head.weight", (vocabulary, width)).T)
    return params


def _read_heads(tensors: Mapping[str, Tensors], config: DecoderConfig) -> dict[str, Params]:
    heads = {}
    for name in HEADS:
        weight = tensors.get(f"{name}.weight")
        if weight is None:
            continue
        kernel = np.asarray(weight[f"{name}.weight"], np.float32)
        if kernel.ndim != 2 or kernel.shape[1] != config.width:
            raise InputError(
                f"{weight.path} holds the head {name!r} as {list(kernel.shape)}; [outputs, "
                f"{config.width}] is needed"
            )
        bias = np.zeros(kernel.shape[0], np.float32)
        if f"{name}.bias" in tensors:
            bias = np.asarray(tensors[f"{name}.bias"][f"{name}.bias"], np.float32)
        if bias.shape != kernel.shape[:1]:
            raise InputError(
                f"{weight.path} holds a bias {list(bias.shape)} of {name!r}; correct it"
            )
        one = kernel.shape[0] == 1
        heads[name] = {
            "kernel": jnp.asarray(kernel[0] if one else kernel.T),
            "bias": jnp.asarray(bias[0] if one else bias),
        }
    return heads


def tensors_of(
    config: DecoderConfig, params: Params, heads: Mapping[str, Params] | None = None
) -> dict[str, np.ndarray]:
    """Parameters under Hugging Face's names and in its layout; ValueError if they do not fit."""
    tensors = {"model.embed_tokens.weight": np.asarray(params["embedding"])}
    for name, (theirs, shape, turned) in _layer_shapes(config).items():
        stacked = np.asarray(params["layers"][name])
        expected = (config.layers, *(shape[::-1] if turned else shape))
        if stacked.shape != expected:
            raise ValueError(
                f"layers/{name} is {list(stacked.shape)}, the configuration asks for "
                f"{list(expected)}; give parameters of that model, adapters merged"
            )
        for i, value in enumerate(stacked):
            tensors[f"model.layers.{i}.{theirs}"] = value.T if turned else value
    tensors["model.norm.weight"] = np.asarray(params["norm"])
    if not config.tied:
        tensors["lm_head.weight"] = np.asarray(params["head"]).T
    for name, weights in (heads or {}).items():
        kernel = np.asarray(weights["kernel"], np.float32)
        tensors[f"{name}.weight"] = kernel[None] if kernel.ndim == 1 else kernel.T
        if name != "score":  # a classifier's head has none
            tensors[f"{name}.bias"] = np.atleast_1d(np.asarray(weights["bias"], np.float32))
    return tensors


def description_of(config: DecoderConfig) -> dict[str, Any]:
    """A `config.json` for a decoder that came from no directory."""
    family = "qwen3" if config.qk_norm else "llama"
    if config.qkv_bias and not config.output_bias:
        if config.qk_norm:
            raise ValueError("no family has qk_norm with qkv_bias alone; set output_bias")
        family = "qwen2"
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": config.theta}
    if config.scaling is not None:
        scaling = config.scaling
        rope |= {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind != "linear":
            rope["original_max_position_embeddings"] = scaling.original_length
        if scaling.kind == "llama3":
            rope |= {"low_freq_factor": scaling.low_factor, "high_freq_factor": scaling.high_factor}
        if scaling.kind == "yarn":
            rope |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow}
            rope |= (
                {"attention_factor": scaling.attention_factor} if scaling.attention_factor else {}
            )
    return {
        "architectures": [f"{family.capitalize()}ForCausalLM"], "model_type": family,
        "vocab_size": config.vocabulary, "hidden_size": config.width,
        "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads, "intermediate_size": config.hidden,
        "max_position_embeddings": config.max_length, "head_dim": config.size_of_head,
        "tie_word_embeddings": config.tied, "attention_bias": config.output_bias,
        "rms_norm_eps": config.epsilon, "hidden_act": "silu", "rope_theta": config.theta,
        "rope_parameters": rope,
    } | ({} if config.scaling is None else {"rope_scaling": rope})  # fmt: skip


def save_model(
    folder: str | os.PathLike,
    config: DecoderConfig,
    params: Params,
    *,
    heads: Mapping[str, Params] | None = None,
    source: str | os.PathLike | None = None,
    shard_bytes: int = 5 * 10**9,
) -> None:
    """Write a directory that `transformers` (and `load_model`) reads.

    `source` is the directory that the model came from: its description, tokenizer, chat template
    and generation settings are taken over. All is written beside `folder` and put there at the
    end, so that nothing half-written is seen. InputError where `folder` exists and is not empty.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already; give a new folder for the model")
    tensors = tensors_of(config, params, heads)
    description = description_of(config)
    if source is not None:
        description = read_json(Path(source) / "config.json", dict)
    description["tie_word_embeddings"] = config.tied
    stored = {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16"}
    description["dtype"] = stored.get(str(np.asarray(params["embedding"]).dtype), "float32")
    description.pop("torch_dtype", None)
    make_folder(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        atomic_write_json(temporary / "config.json", description)
        for name in CARRIED if source is not None else ():
            if (Path(source) / name).is_file():
                shutil.copyfile(Path(source) / name, temporary / name)
        write_folder(temporary, tensors, shard_bytes)
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def generation_settings(folder: str | os.PathLike) -> dict[str, Any]:
    """`{"sampling": {...}, "stop": (...)}` of `generation_config.json` (or `config.json`), for
    `rollout.sampling.Sampling(**...)` and `GenerateConfig(stop=...)`.

    InputError for values that cannot be used.
    """
    folder = Path(folder)
    path = folder / "generation_config.json"
    path = path if path.is_file() else folder / "config.json"
    given = read_json(path, dict)
    stop = given.get("eos_token_id")
    stop = [] if stop is None else stop if isinstance(stop, list) else [stop]
    if not all(type(token) is int and token >= 0 for token in stop):
        raise InputError(f"{path} has eos_token_id={str(stop)[:40]}; token numbers are needed")
    sampling = {}
    for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty"):
        value = given.get(name)
        if value is None or (name == "repetition_penalty" and value == 1):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise InputError(f"{path} has {name}={str(value)[:40]}; a number from 0 up is needed")
        sampling[name] = value
    if given.get("do_sample") is False:
        sampling = {"temperature": 0.0} | {k: v for k, v in sampling.items() if k[0] == "r"}
    if math.isclose(sampling.get("top_p", 0.0), 1.0):
        sampling.pop("top_p")
    return {"sampling": sampling, "stop": tuple(stop)}

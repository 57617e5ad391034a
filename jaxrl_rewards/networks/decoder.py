"""A decoder-only transformer: the Llama, Qwen2, Qwen2.5 and Qwen3 families.

RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021), grouped-query attention
(Ainslie et al. 2023) and SwiGLU (Shazeer 2020), as plain functions over a parameter tree whose
layers are stacked along their leading axis, so that one compiled layer serves any depth.

    hidden, cache = decode(params, config, tokens, cache)     # any number of new tokens
    logits = head(params, config, hidden)

Without a cache a sequence is read in one pass (teacher forcing). With one, its keys and values are
kept: a prompt is prefilled in one call, tokens are added one by one.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.networks.rotary import Scaling, rotate, rotations

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Static sizes; part of the compile key."""

    vocabulary: int
    width: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    """Heads of keys and values; must divide `heads`."""
    hidden: int = 256
    """Width inside the gated feed-forward layer."""
    max_length: int = 128
    """Tokens that a cache holds."""
    head_width: int | None = None
    """Width of one head; `width / heads` when None."""
    tied: bool = True
    """The output head is the embedding's transpose."""
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    """RMSNorm of queries and keys per head (Qwen3)."""
    epsilon: float = 1e-6
    """Inside the norms' root."""
    theta: float = 10_000.0
    """Base of the rotary frequencies."""
    scaling: Scaling | None = None
    """How rotary frequencies are stretched to longer contexts."""
    remat: bool = False
    """Recompute layers in the backward pass instead of keeping their values."""

    def __post_init__(self):
        for name in ("vocabulary", "width", "layers", "heads", "kv_heads", "hidden", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads} must divide heads={self.heads}")
        if self.head_width is None and self.width % self.heads:
            raise ValueError(
                f"heads={self.heads} must divide width={self.width}, or give head_width"
            )
        if self.size_of_head % 2:
            raise ValueError(f"head_width must be even, got {self.size_of_head}")

    @property
    def size_of_head(self) -> int:
        """Width of one head."""
        return self.width // self.heads if self.head_width is None else self.head_width


@record
class Cache:
    """Keys and values of what was read; rows lead, so that it is a carry like any other."""

    keys: Float[Array, "B L S H D"]
    """S is the configuration's `max_length`, H its `kv_heads`, D its `size_of_head`."""
    values: Float[Array, "B L S H D"]
    length: Int[Array, "B"]
    """Tokens read so far per row; later slots are ignored."""


def init_decoder(key: jax.Array, config: DecoderConfig, dtype: Any = jnp.float32) -> Params:
    """Normal weights of standard deviation .02, those that write to the residual stream divided by
    `sqrt(2 layers)` (Radford et al. 2019); norms 1, biases 0."""
    size, kv = config.heads * config.size_of_head, config.kv_heads * config.size_of_head
    depth, width, hidden = config.layers, config.width, config.hidden
    shapes = {
        "query": (width, size), "key": (width, kv), "value": (width, kv), "output": (size, width),
        "gate": (width, hidden), "up": (width, hidden), "down": (hidden, width),
    }  # fmt: skip
    keys = jax.random.split(key, len(shapes) + 2)
    small = 0.02 / math.sqrt(2 * depth)

    def normal(key: jax.Array, shape: tuple[int, ...], deviation: float) -> Array:
        return (deviation * jax.random.normal(key, shape, jnp.float32)).astype(dtype)

    layers = {
        name: normal(k, (depth, *shape), small if name in ("output", "down") else 0.02)
        for k, (name, shape) in zip(keys, shapes.items())
    }
    layers |= {name: jnp.ones((depth, width), dtype) for name in ("attention_norm", "mlp_norm")}
    if config.qkv_bias:
        biases = {"query_bias": size, "key_bias": kv, "value_bias": kv}
        layers |= {name: jnp.zeros((depth, length), dtype) for name, length in biases.items()}
    if config.output_bias:
        layers["output_bias"] = jnp.zeros((depth, width), dtype)
    if config.qk_norm:
        norms = ("query_norm", "key_norm")
        layers |= {name: jnp.ones((depth, config.size_of_head), dtype) for name in norms}
    params = {
        "embedding": normal(keys[-1], (config.vocabulary, width), 0.02),
        "layers": layers,
        "norm": jnp.ones((width,), dtype),
    }
    if not config.tied:
        params["head"] = normal(keys[-2], (width, config.vocabulary), 0.02)
    return params


def empty_cache(config: DecoderConfig, rows: int, dtype: Any = jnp.float32) -> Cache:
    """A cache for `rows` sequences of up to `max_length` tokens, nothing read."""
    shape = (rows, config.layers, config.max_length, config.kv_heads, config.size_of_head)
    return Cache(
        keys=jnp.zeros(shape, dtype),
        values=jnp.zeros(shape, dtype),
        length=jnp.zeros((rows,), jnp.int32),
    )


def decode(
    params: Params,
    config: DecoderConfig,
    tokens: Int[Array, "B T"],
    cache: Cache | None = None,
    valid: Bool[Array, "B T"] | None = None,
) -> tuple[Float[Array, "B T D"], Cache | None]:
    """Hidden states after the last norm, and the cache with `tokens` read into it.

    Args:
      tokens: new tokens, int32; numbers outside the vocabulary read its nearest row.
      cache: what was read before; None reads `tokens` alone, from position 0.
      valid: which tokens are there; the others (padding, on the right) are not seen by later ones
        and not counted in the cache. All when None.

    A cache that is full keeps its first `max_length` tokens; what comes after attends to those.
    """
    rows, count = tokens.shape
    if cache is None:
        return teacher_forced(params, config, tokens, valid=valid)[0], None
    positions = cache.length[:, None] + jnp.arange(count, dtype=jnp.int32)
    reach = positions[:, :, None] >= jnp.arange(config.max_length, dtype=jnp.int32)
    row = jnp.arange(rows)[:, None]

    def layer(carry: tuple[Array, Array, Array], inputs: tuple[Params, Array]) -> tuple[Any, None]:
        x, keys, values = carry
        weights, depth = inputs
        query, key, value = projections(weights, config, x, turn)
        keys = keys.at[row, depth, positions].set(key.astype(keys.dtype), mode="drop")
        values = values.at[row, depth, positions].set(value.astype(values.dtype), mode="drop")
        x = mix(weights, config, x, query, keys[:, depth], values[:, depth], reach)
        return (x + feed_forward(weights, config, x), keys, values), None

    turn = rotations(positions, config.size_of_head, config.theta, config.scaling)
    x = params["embedding"].at[tokens].get(mode="clip")
    depths = jnp.arange(config.layers, dtype=jnp.int32)
    carry = (x, cache.keys, cache.values)
    layers = (params["layers"], depths)
    (x, keys, values), _ = jax.lax.scan(layer, carry, layers, unroll=unrolling(config))
    length = jnp.minimum(cache.length + counted(tokens, valid), config.max_length)
    x = rms_norm(x, params["norm"], config.epsilon)
    return x, Cache(keys=keys, values=values, length=length)


def prefill(
    params: Params,
    config: DecoderConfig,
    tokens: Int[Array, "B T"],
    valid: Bool[Array, "B T"] | None = None,
) -> tuple[Float[Array, "B T D"], Cache]:
    """`decode` into an empty cache, which looks at the prompt's own tokens only.

    `T` may be at most `max_length`; keys and values have the parameters' dtype.
    """
    rows, count = tokens.shape
    if count > config.max_length:
        raise ValueError(f"a prompt of {count} tokens needs max_length >= {count}, it is "
                         f"{config.max_length}")  # fmt: skip
    x, (keys, values) = teacher_forced(params, config, tokens, valid=valid, keep=True)
    room = [(0, 0), (0, 0), (0, config.max_length - count), (0, 0), (0, 0)]
    kept = [jnp.pad(jnp.moveaxis(part, 0, 1), room) for part in (keys, values)]
    return x, Cache(keys=kept[0], values=kept[1], length=counted(tokens, valid))


TOKENS = 512
"""Tokens whose layers' values stay in a core's cache: on a CPU, passes over more go in parts."""
CHUNK = 16
"""Tokens of a prompt that a CPU reads at once: products of one shape, whatever the padding is."""


def read_prompt(
    params: Params, config: DecoderConfig, tokens: Int[Array, "B T"], valid: Bool[Array, "B T"]
) -> Cache:
    """The cache after the first `valid` tokens of each row.

    In one pass; on a CPU in chunks up to the longest row, so that the same bits come out whatever
    the padding on the right is.
    """
    if jax.default_backend() != "cpu" or tokens.shape[1] == 0:
        return prefill(params, config, tokens, valid)[1]
    rows, count = tokens.shape
    missing = -count % CHUNK
    tokens = jnp.pad(tokens, [(0, 0), (0, missing)])
    valid = jnp.pad(valid, [(0, 0), (0, missing)])
    chunks = (jnp.max(counted(tokens, valid)) + CHUNK - 1) // CHUNK

    def one(index: Array, cache: Cache) -> Cache:
        part = [
            jax.lax.dynamic_slice_in_dim(leaf, index * CHUNK, CHUNK, axis=1)
            for leaf in (tokens, valid)
        ]
        return decode(params, config, part[0], cache, part[1])[1]

    cache = empty_cache(config, rows, params["embedding"].dtype)
    return jax.lax.fori_loop(0, chunks, one, cache)


def teacher_forced(
    params: Params,
    config: DecoderConfig,
    tokens: Int[Array, "B T"],
    *,
    valid: Bool[Array, "B T"] | None = None,
    begins: Bool[Array, "B T"] | None = None,
    cache: Cache | None = None,
    keep: bool = False,
) -> tuple[Float[Array, "B T D"], Any]:
    """Hidden states of whole sequences in one pass, every token shown what came before it.

    Args:
      valid: which tokens are there; the others are not seen by later ones. All when None.
      begins: where a new text begins: it sees nothing before, positions start from 0 again. So
        several texts share a row (packing), and an episode's end cuts memory. Nowhere when None.
      cache: what was read before the first token; it is read and left as it is.
      keep: also give keys and values `[L, B, T, H, D]` (else `()`).
    """
    positions, reach = sight(tokens, valid, begins, cache, config.max_length)
    turn = rotations(positions, config.size_of_head, config.theta, config.scaling)
    x = params["embedding"].at[tokens].get(mode="clip")

    def layer(x: Array, inputs: tuple[Params, Any]) -> tuple[Array, Any]:
        weights, before = inputs
        query, key, value = projections(weights, config, x, turn)
        kept = (key, value) if keep else ()
        if before:
            key, value = (
                jnp.concatenate([old.astype(new.dtype), new], axis=1)
                for old, new in zip(before, (key, value), strict=True)
            )
        x = mix(weights, config, x, query, key, value, reach)
        return x + feed_forward(weights, config, x), kept

    layer = jax.checkpoint(layer) if config.remat else layer
    before = () if cache is None else (cache.keys, cache.values)
    before = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), before)
    x, kept = jax.lax.scan(layer, x, (params["layers"], before), unroll=unrolling(config))
    return rms_norm(x, params["norm"], config.epsilon), kept


def in_parts(function: Any, rows: Any, length: int) -> Any:
    """`function(rows)` of leaves `[B, ...]` of `length` tokens each; on a CPU part by part.

    Parts of about 512 tokens are recomputed in the backward pass, which all the same takes half as
    long as one pass whose values do not fit the core's cache (measured). Elsewhere, under a mesh,
    and where no divisor of B fits, it is one pass.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    most = max(TOKENS // max(length, 1), 1)
    size = next(size for size in range(min(most, count), 0, -1) if count % size == 0)
    on_mesh = not jax.sharding.get_abstract_mesh().empty
    if jax.default_backend() != "cpu" or on_mesh or size == count or 4 * size < min(most, count):
        return function(rows)
    parts = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), rows)
    found = jax.lax.map(jax.checkpoint(function), parts)
    return jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), found)


def unrolling(config: DecoderConfig) -> int:
    """Layers per turn of the loop over layers: a few are compiled one by one, which is faster."""
    return config.layers if config.layers <= 4 else 1


def sight(
    tokens: Int[Array, "B T"],
    valid: Bool[Array, "B T"] | None,
    begins: Bool[Array, "B T"] | None,
    cache: Cache | None,
    slots: int,
) -> tuple[Int[Array, "B T"], Bool[Array, "B T S"]]:
    """Positions of tokens, and which keys each sees: the cache's slots first, then the new ones."""
    rows, count = tokens.shape
    index = jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32), (rows, count))
    start = jnp.zeros((rows,), jnp.int32) if cache is None else cache.length
    positions, first = start[:, None] + index, jnp.ones((rows, count), bool)
    reach = index[:, :, None] >= index[:, None, :]
    if begins is not None:
        text = jnp.cumsum(begins, axis=1, dtype=jnp.int32)
        opened = jax.lax.cummax(jnp.where(begins, index, 0), axis=1)
        first = text == 0
        positions = jnp.where(first, positions, index - opened)
        reach = reach & (text[:, :, None] == text[:, None, :])
    if valid is not None:
        reach = reach & valid[:, None, :]
    if cache is not None:
        filled = jnp.arange(slots, dtype=jnp.int32) < start[:, None]
        reach = jnp.concatenate([first[:, :, None] & filled[:, None, :], reach], axis=2)
    return positions, reach


def counted(tokens: Int[Array, "B T"], valid: Bool[Array, "B T"] | None) -> Int[Array, "B"]:
    """How many tokens of each row are there."""
    if valid is None:
        return jnp.full(tokens.shape[:1], tokens.shape[1], jnp.int32)
    return jnp.sum(valid, axis=1, dtype=jnp.int32)


def projections(
    weights: Params, config: DecoderConfig, x: Float[Array, "B T D"], turn: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """Queries `[B, T, heads, D]`, keys and values `[B, T, kv_heads, D]` of the normed stream."""
    seen = rms_norm(x, weights["attention_norm"], config.epsilon)

    def heads(name: str, number: int) -> Array:
        flat = dense(seen, weights[name], weights.get(f"{name}_bias"))
        return flat.reshape(*x.shape[:2], number, config.size_of_head)

    query, key = heads("query", config.heads), heads("key", config.kv_heads)
    if config.qk_norm:
        query = rms_norm(query, weights["query_norm"], config.epsilon)
        key = rms_norm(key, weights["key_norm"], config.epsilon)
    return rotate(query, turn), rotate(key, turn), heads("value", config.kv_heads)


def mix(
    weights: Params,
    config: DecoderConfig,
    x: Float[Array, "B T D"],
    query: Array,
    key: Array,
    value: Array,
    reach: Bool[Array, "B T S"],
) -> Float[Array, "B T D"]:
    """The residual stream after grouped-query attention."""
    mixed = attend(query, key.astype(query.dtype), value.astype(query.dtype), reach)
    flat = mixed.reshape(*x.shape[:2], -1)
    return x + dense(flat, weights["output"], weights.get("output_bias"))


def attend(
    query: Float[Array, "B T N D"],
    key: Float[Array, "B S H D"],
    value: Float[Array, "B S H D"],
    reach: Bool[Array, "B T S"],
) -> Float[Array, "B T N D"]:
    """Grouped-query attention: `softmax(query · key / sqrt(D)) value` over what is in reach.

    `jax.nn.dot_product_attention` but on a CPU, where heads before tokens save a fifth of a
    training step (measured). A token that reaches nothing gets the mean.
    """
    if jax.default_backend() != "cpu":
        return jax.nn.dot_product_attention(query, key, value, mask=reach[:, None])
    rows, count, heads, size = query.shape
    groups = key.shape[2]
    query = (query * size**-0.5).reshape(rows, count, groups, -1, size)
    query = jnp.moveaxis(query, 1, 3).reshape(rows, groups, -1, size)  # [B, H, N / H * T, D]
    key, value = jnp.swapaxes(key, 1, 2), jnp.swapaxes(value, 1, 2)
    wide = {"preferred_element_type": jnp.float32}
    score = jnp.einsum("bhtd,bhsd->bhts", query, key, **wide)
    score = score.reshape(rows, groups, heads // groups, count, -1)
    score = jnp.where(reach[:, None, None], score, -1e30)
    weight = jax.nn.softmax(score, axis=-1).reshape(rows, groups, -1, score.shape[-1])
    mixed = jnp.einsum("bhts,bhsd->bhtd", weight.astype(value.dtype), value, **wide)
    mixed = mixed.reshape(rows, groups, heads // groups, count, size).astype(query.dtype)
    return jnp.moveaxis(mixed, 3, 1).reshape(rows, count, heads, size)


def feed_forward(weights: Params, config: DecoderConfig, x: Array) -> Float[Array, "B T D"]:
    """`down(silu(gate(x)) · up(x))` of the normed stream."""
    seen = rms_norm(x, weights["mlp_norm"], config.epsilon)
    gated = jax.nn.silu(dense(seen, weights["gate"])) * dense(seen, weights["up"])
    return dense(gated, weights["down"])


def head(params: Params, config: DecoderConfig, hidden: Float[Array, "... D"]) -> Array:
    """Float32 logits `[..., vocabulary]`."""
    kernel = params["embedding"].T if config.tied else params["head"]
    rows = hidden.reshape(-1, hidden.shape[-1])
    logits = jnp.matmul(rows, kernel, preferred_element_type=jnp.float32)
    return logits.reshape(*hidden.shape[:-1], -1)


def rms_norm(x: Float[Array, "... D"], scale: Float[Array, "D"], epsilon: float) -> Array:
    """`x / rms(x) · scale`, in float32, given back in x's dtype."""
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + epsilon)
    return (wide * scale.astype(jnp.float32)).astype(x.dtype)


def dense(x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """`x @ kernel + bias`, summed in float32, given back in x's dtype.

    As a product of two matrices: the kernel's gradient over several leading axes takes twice the
    time on a CPU (measured).
    """
    rows = x.reshape(-1, x.shape[-1])
    out = jnp.matmul(rows, kernel, preferred_element_type=jnp.float32)
    out = out if bias is None else out + bias.astype(jnp.float32)
    return out.astype(x.dtype).reshape(*x.shape[:-1], -1)

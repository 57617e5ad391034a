"""Reader checkpoints: one npz with float16 parameters, corpus hashes and JSON metadata."""

import dataclasses
import io
import json
import zipfile
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_bytes, jsonable
from jaxrl_rewards.networks.reader import ReaderConfig, reader_init

SHIPPED = "gui_reader.npz"


@dataclasses.dataclass(frozen=True)
class ReaderCheckpoint:
    """Parameters (float32), hashes of the training instructions, and what is known of the run."""

    params: Any
    corpus: np.ndarray
    metadata: dict

    def has_seen(self, instruction: str) -> bool:
        """Whether the instruction, without case and marks at its ends, is in the corpus."""
        code = instruction_hash(instruction)
        place = int(np.searchsorted(self.corpus, code))
        return place < len(self.corpus) and int(self.corpus[place]) == code


def instruction_hash(text: str) -> int:
    """CRC-32 of the text without case, without marks at its ends, white space as one space."""
    plain = " ".join(text.split()).casefold().strip(" .,:;!?\"'()")
    return zlib.crc32((plain or text).encode("utf-8"))


def corpus_hashes(corpus) -> np.ndarray:
    """Sorted uint32 hashes of all texts."""
    return np.unique(np.array([instruction_hash(text) for text in corpus], np.uint32))


def save_checkpoint(path, params, corpus: np.ndarray, metadata: dict) -> None:
    """Write parameters as float16, `corpus` hashes and metadata; the file replaces `path` whole.

    A .json file with the metadata is written beside it.
    """
    arrays = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        name = "/".join(str(key.key) for key in keys)
        arrays[name] = np.asarray(leaf, np.float16)
    text = json.dumps(jsonable(metadata), indent=1, allow_nan=False)
    arrays["metadata"] = np.frombuffer(text.encode("utf-8"), np.uint8)
    arrays["corpus"] = np.asarray(corpus, np.uint32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    atomic_write_bytes(path, buffer.getvalue())
    atomic_write_bytes(Path(path).with_suffix(".json"), (text + "\n").encode("utf-8"))


def load_checkpoint(path=None) -> ReaderCheckpoint:
    """Read a checkpoint; None gives the one that ships with the package.

    Raises `InputError` for a file that is missing, damaged, or holds other parameters.
    """
    if path is None:
        data = resources.files("jaxrl_rewards").joinpath("assets", SHIPPED).read_bytes()
        name = SHIPPED
    else:
        name = str(path)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(
                f"the checkpoint {name} cannot be read ({error.strerror}); give the .npz that "
                "training wrote, or none for the shipped one"
            ) from None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        metadata = json.loads(arrays.pop("metadata").tobytes().decode("utf-8"))
        corpus = arrays.pop("corpus")
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
        raise InputError(
            f"{name} is not a reader checkpoint, or it is damaged; train again or copy it anew"
        ) from None
    return ReaderCheckpoint(_restore(arrays, name), corpus, metadata)


def _restore(arrays: dict, name: str):
    template = jax.eval_shape(lambda: reader_init(jax.random.key(0), ReaderConfig()))
    leaves = []
    paths, tree = jax.tree_util.tree_flatten_with_path(template)
    for keys, leaf in paths:
        key = "/".join(str(part.key) for part in keys)
        if key not in arrays or arrays[key].shape != leaf.shape:
            found = "missing" if key not in arrays else f"of shape {arrays[key].shape}"
            raise InputError(
                f"{name}: parameter {key} is {found}, the reader needs shape {leaf.shape}; use a "
                "checkpoint of this version"
            )
        leaves.append(jnp.asarray(arrays[key], jnp.float32))
    return jax.tree_util.tree_unflatten(tree, leaves)

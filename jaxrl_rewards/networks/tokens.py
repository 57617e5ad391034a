"""Text and tokens of a Hugging Face directory: `tokenizer.json` and the chat template.

Needs the `llm` extra (tokenizers, jinja2), imported where it is used. A conversation becomes tokens
once; what a policy has written is kept as tokens and never read again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import LIMIT_BYTES, read_json

INSTALL = "pip install 'jaxrl-rewards[llm]'"


class TextTokens:
    """A tokenizer and its chat template."""

    def __init__(self, folder: str | os.PathLike, vocabulary: int | None = None):
        """`vocabulary` is the model's; token numbers outside it are refused."""
        self.folder = Path(folder)
        self._tokenizer = _tokenizer(self.folder / "tokenizer.json")
        self.vocabulary = vocabulary or self._tokenizer.get_vocab_size()
        path = self.folder / "tokenizer_config.json"
        self.settings = read_json(path, dict) if path.is_file() else {}
        self.template = _template(self.folder, self.settings)

    def encode(self, text: str) -> list[int]:
        """Token numbers, without any that a template would add."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        return self.checked(tokens)

    def decode(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """Text of tokens; `special=False` leaves special ones out."""
        tokens = self.checked([int(token) for token in tokens])
        return self._tokenizer.decode(tokens, skip_special_tokens=not special)

    def checked(self, tokens: list[int]) -> list[int]:
        """The same tokens; InputError for a number outside the vocabulary."""
        for token in tokens:
            if not 0 <= token < self.vocabulary:
                raise InputError(
                    f"token {token} is outside the model's vocabulary of {self.vocabulary}; use "
                    "the tokenizer that belongs to the model"
                )
        return tokens

    def texts(self) -> list[bytes]:
        """The bytes of every token of the vocabulary, for `rollout.constraints.stop_strings`."""
        known = self._tokenizer.get_vocab_size()
        by_level = '"ByteLevel"' in self._tokenizer.to_str()
        added = self._tokenizer.get_added_tokens_decoder()
        table = {letter: byte for byte, letter in _byte_letters().items()} if by_level else {}
        found = []
        for token in range(self.vocabulary):
            piece = self._tokenizer.id_to_token(token) if token < known else None
            if piece is None:
                found.append(b"")
            elif token in added:
                found.append(added[token].content.encode())
            elif by_level and all(letter in table for letter in piece):
                found.append(bytes(table[letter] for letter in piece))
            else:
                found.append(piece.replace("\u2581", " ").encode())
        return found

    def chat(self, messages: Sequence[dict[str, Any]], *, answer: bool = True, **more: Any) -> str:
        """The text of a conversation `[{"role", "content"}, ...]`, ready for an answer to it.

        InputError where there is no template, and with its words where the template refuses.
        """
        if self.template is None:
            raise InputError(f"{self.folder} has no chat template; give the prompt as text")
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        special = {name: _word(self.settings.get(name)) for name in names}
        return _render(
            self.folder,
            self.template,
            {**special, "messages": list(messages), "add_generation_prompt": answer, **more},
        )

    def chat_tokens(self, messages: Sequence[dict[str, Any]], **more: Any) -> list[int]:
        """Tokens of `chat`."""
        return self.encode(self.chat(messages, **more))


def padded(prompts: Sequence[Sequence[int]], width: int | None = None) -> tuple[Any, Any]:
    """Prompts as `generate` takes them: `(int32 [P, W] padded with 0, lengths int32 [P])`.

    InputError for no prompt, an empty one, and one that is longer than `width`.
    """
    lengths = [len(prompt) for prompt in prompts]
    if not lengths or min(lengths) < 1:
        raise InputError("a prompt has no token; give at least one, such as a begin token")
    width = max(lengths) if width is None else width
    if max(lengths) > width:
        raise InputError(f"a prompt has {max(lengths)} tokens, more than the {width} that are read")
    tokens = np.zeros((len(prompts), width), np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    return tokens, np.asarray(lengths, np.int32)


def _tokenizer(path: Path) -> Any:
    try:
        import tokenizers
    except ImportError:
        raise InputError(f"{path} needs the package tokenizers; {INSTALL}") from None
    read_json(path, dict, limit_bytes=8 * LIMIT_BYTES)
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        shown = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is no tokenizer ({shown}); fetch it again") from None


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read ({error}); save it as UTF-8") from None
    given = settings.get("chat_template")
    if isinstance(given, list):  # several by name
        named = {e.get("name"): e.get("template") for e in given if isinstance(e, dict)}
        given = named.get("default")
    if given is not None and not isinstance(given, str):
        raise InputError(f"{folder / 'tokenizer_config.json'} has a chat template that is no text")
    return given


def _word(token: Any) -> str:
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else ""


def _render(folder: Path, template: str, values: dict[str, Any]) -> str:
    try:
        from jinja2.exceptions import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise InputError(f"the chat template of {folder} needs jinja2; {INSTALL}") from None

    def refuse(message: Any) -> None:
        raise TemplateError(str(message))

    world = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    world.globals["raise_exception"] = refuse
    world.filters["tojson"] = lambda value, indent=None: json.dumps(
        value, ensure_ascii=False, indent=indent
    )
    try:
        return world.from_string(template).render(**values)
    except Exception as error:  # whatever a template from outside does
        shown = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"the chat template of {folder} refuses the conversation ({shown}); change the "
            "messages or the template"
        ) from None


def _byte_letters() -> dict[int, str]:
    """The letter that byte-level tokenizers write for each byte (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    rest = [byte for byte in range(256) if byte not in letters]
    return letters | {byte: chr(256 + number) for number, byte in enumerate(rest)}

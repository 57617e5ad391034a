"""Reading what a language model or a training process wrote; nothing of it is ever run.

The conventions are those of Ma et al., "Eureka", ICLR 2024, arXiv 2310.12931, and of its published
code, quirks included where they decide which text is taken.
"""

from __future__ import annotations

import ast
import re

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.thinking import without_thinking

MAX_ANSWER_BYTES = 64 * 1024
"""Text beyond this is cut before any pattern looks at it."""

_BLOCKS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (r"```python(.*?)```", r"```(.*?)```", r'"""(.*?)"""', r'""(.*?)""', r'"(.*?)"')
)
_FENCE = re.compile(r"```(.*?)```", re.DOTALL)
_TAG = re.compile(r"[ \t]*(\{[^}\n`]*\}|[^\s`=]+)(?=\s)")
"""The first word behind an opening fence: a language."""
_SPACED_TERM = re.compile(r"[ \t]+[A-Za-z_]\w*[ \t]+=[ \t]")
_TERM = re.compile(r"\s*[A-Za-z_]\w*\s*=(?!=)")


def cut_answer(text: str) -> str:
    """`text` without what exceeds 64 KiB of UTF-8; InputError unless it is a string."""
    if not isinstance(text, str):
        raise InputError(f"an answer must be text, got {type(text).__name__}")
    packed = text.encode("utf-8", errors="replace")
    return packed[:MAX_ANSWER_BYTES].decode("utf-8", errors="ignore")


def read_part(response: str) -> str:
    """What of a response is read: no thoughts (`without_thinking`), at most 64 KiB.

    InputError unless it is a string.
    """
    return cut_answer(without_thinking(response) if isinstance(response, str) else response)


def find_block(response: str) -> str | None:
    """The first fenced or quoted block, stripped; None where there is none.

    Tried in order: a block fenced as python, a plain fence, three, two and one double quotes. The
    shortest match counts and may span lines. Thoughts before the answer are no part of it.
    """
    text = read_part(response)
    matches = (pattern.search(text) for pattern in _BLOCKS)
    return next((match.group(1).strip() for match in matches if match is not None), None)


def find_program(response: str) -> str | None:
    """The reward program in a response, stripped; None where there is none.

    As `find_block`, but a fence may carry any tag (`text`, `Python`, `reward title=x`), which is no
    part of the program, and a response of nothing but lines `name = ...` needs no fence.
    """
    text = read_part(response)
    fences = [_untagged(match) for match in _FENCE.findall(text)]
    if fences:
        python_first = sorted(fences, key=lambda fence: not fence[0].startswith("py"))
        return next((block for _, block in python_first if block), None)
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(map(_TERM.match, lines)):
        return text.strip()
    return find_block(text)


def _untagged(block: str) -> tuple[str, str]:
    """A fence's tag, in small letters, and what the fence holds.

    The tag is the first line, as in `text` or `py title=x`, or its first word, as in
    `python near = 1`; a first line `name = ...` is no tag.
    """
    word = _TAG.match(block)
    if word is None or _TERM.match(block):
        return "", block.strip()
    tag, rest = word[1].strip("{}. ").lower(), block[word.end() :]
    line, end, after = rest.partition("\n")
    if end and not _SPACED_TERM.match(line):
        return tag, after.strip()
    return (tag, rest.strip()) if end or tag.startswith("py") else ("", block.strip())


def extract_reward_code(response: str) -> str:
    """The first block, or all of the text, from the last line that starts with `def ` on.

    Without a block, or with an empty one, the whole text counts. Functions before the last one
    are lost: the published behaviour.
    """
    code = find_block(response) or read_part(response)
    lines = code.split("\n")
    starts = [number for number, line in enumerate(lines) if line.strip().startswith("def ")]
    return "\n".join(lines[starts[-1] :]) if starts else code


def function_signature(code: str) -> tuple[str, list[str]] | None:
    """`("name(self.a, self.b)", ["a", "b"])` of the first top-level function; None without one.

    Positional arguments only; a function without any gives "name(self.)". The text is parsed, not
    run; whatever Python cannot parse gives None.
    """
    try:
        body = ast.parse(cut_answer(code)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in body:
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in node.args.args]
            return f"{node.name}(self." + ", self.".join(names) + ")", names
    return None


def filter_traceback(stdout: str) -> str:
    """From the first line that starts with "Traceback" up to the hint of the launcher; else ""."""
    if not isinstance(stdout, str):
        raise InputError(f"stdout must be text, got {type(stdout).__name__}")
    kept: list[str] = []
    for line in stdout.split("\n"):
        if kept or line.startswith("Traceback"):
            if "HYDRA_FULL_ERROR" in line:
                break
            kept.append(line)
    return "\n".join(kept)

"""What a language model answers, without what it thought aloud before."""

from __future__ import annotations

import re

_NAMES = "think|thinking|thoughts?|reasoning|reflection"
_TAG = re.compile(
    rf"<(?P<a>/?)(?:\w{{1,16}}:)?(?:{_NAMES})\s{{0,4}}>|\[(?P<b>/?)think\]|◁(?P<c>/?)think▷",
    re.IGNORECASE,
)
_CHANNEL, _FINAL = "<|channel|>", "<|channel|>final<|message|>"
_ENDS = ("<|return|>", "<|end|>")


def without_thinking(text: str) -> str:
    """`text` without its blocks of thoughts.

    A block reaches from `<think>` (also `thinking`, `thought`, `reasoning`, `reflection`, `[THINK]`
    and the like, in any case) to its end mark. Where only the end mark stands, as with chat
    templates that open the block themselves, all before it is thought; a block that is never ended
    takes the rest, since the answer was cut before it began. Of a text in channels the last final
    one counts. Linear in the length of the text.
    """
    if _CHANNEL in text:
        _, _, text = text.rpartition(_FINAL) if _FINAL in text else ("", "", "")
        for end in _ENDS:
            text = text.partition(end)[0]
    kept, start, inside = [], 0, False
    for tag in _TAG.finditer(text):
        if any(tag.groups()):  # an end mark
            if not inside:
                kept = []
            inside, start = False, tag.end()
        elif not inside:
            kept.append(text[start : tag.start()])
            inside = True
    return "".join(kept if inside else [*kept, text[start:]])


__all__ = ["without_thinking"]

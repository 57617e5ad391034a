"""What an English instruction names: the text without verbs, articles, roles and quotation marks.

    parse_instruction('Please click on the "Sign in" button').texts   # (..., "Sign in")

Rules, nothing learnt. The text as given is always kept as the first reading, since "Open file" may
be what stands on the button; which reading counts is decided on the screen.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata

from jaxrl_rewards.core.errors import InputError

ROLES = ("button", "link", "menu", "field", "option")
_ROLE_WORDS = {
    "button": ("push button", "button", "btn", "icon"),
    "link": ("hyperlink", "link", "page", "section", "article", "chapter", "heading"),
    "menu": ("drop-down menu", "dropdown menu", "drop-down", "dropdown", "menu item", "menu entry",
             "menu", "tab", "navigation item", "entry", "item"),
    "field": ("text field", "input field", "text box", "textbox", "input box", "field", "input",
              "box", "bar"),
    "option": ("check box", "checkbox", "radio button", "radio", "option", "toggle", "switch",
               "setting", "choice"),
}  # fmt: skip
_ROLE_OF = {word: role for role, words in _ROLE_WORDS.items() for word in words}
_ROLE = "|".join(re.escape(word) for word in sorted(_ROLE_OF, key=len, reverse=True))
_POLITE = re.compile(
    r"(?:please|now|then|next|first|kindly|"
    r"(?:i|we)(?:'d| would)? (?:want|need|like|wish) (?:you )?to|i'm (?:trying|going) to|"
    r"(?:can|could|would|will) (?:you|we|i)(?: please)?|let's|let us|help me(?: to)?|"
    r"your task is to|the task is to|you (?:should|have to|need to|must)),? +",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"(?:(?:double|left|right)[- ]?click|click|tap|press|push|hit|touch|hover|activate|"
    r"select|choose|pick|tick|untick|check|uncheck|toggle|switch|enable|disable|mark|"
    r"open|launch|start|expand|show|display|view|see|read|visit|follow|use|"
    r"go|navigate|jump|move|head|return|get|scroll|"
    r"find|locate|point|look|search|where is|where's|where are|show me|take me|bring me|"
    r"enter|type|write|fill|input|focus|put the cursor)"
    r"(?: (?:on|onto|at|to|into|in|over|up|down|for|out|me|text))* +",
    re.IGNORECASE,
)
_AND = re.compile(r"(?:it )?(?:and|then|to) +(?=[a-z])", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:the|a|an|this|that|my|your|our) +", re.IGNORECASE)
_NAMED = re.compile(
    rf"(?:{_ROLE}) +(?:(?:that (?:says|reads|is (?:called|named|labell?ed))|which says|saying|"
    r"labell?ed(?: as| with)?|called|named|titled|reading|marked|with the (?:text|label|name)|"
    r"with (?:text|label)|for|to)|:) *",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r",? +(?:(?:on|in|at|from|of|within|inside) (?:the |this )?(?:(?:top|bottom|left|right|main|"
    r"current|side|navigation|upper|lower) )*(?:page|screen|website|site|window|menu bar|menu|"
    r"toolbar|side ?bar|header|footer|list|form|dialog|navigation(?: bar)?|nav ?bar|interface|"
    r"app|application|program|top|bottom)|please|now|and (?:click|tap|select|open|press|follow) "
    r"(?:on )?(?:it|this))[.!?]*$",
    re.IGNORECASE,
)
_ROLE_END = re.compile(rf" +({_ROLE})[.!?]*$", re.IGNORECASE)
_ROLE_START = re.compile(rf"(?:{_ROLE}) +", re.IGNORECASE)
_QUOTED = re.compile(r"(?:^|(?<=[\s(:,]))(['\"`])(.+?)\1(?=$|[\s).,:;!?])")
_QUOTES = str.maketrans("\u2018\u2019\u201a\u2032\u00b4\u201c\u201d\u201e\u00ab\u00bb",
                        "'''''\"\"\"\"\"")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Query:
    """What an instruction may name.

    texts: readings, the whole instruction first, the most stripped last; at least one.
    role: one of `ROLES`, or "" where the instruction names none.
    """

    texts: tuple[str, ...]
    role: str = ""


def parse_instruction(instruction: str) -> Query:
    """Read an instruction; `InputError` for one without characters.

    Quotation marks win: with one quoted part, that part is meant. Else, from the left, a polite
    opening, a verb with its prepositions, an article, a role with "called" or the like go; from
    the right, where on the screen it is, and a role. What would leave nothing is kept.
    """
    plain = " ".join(unicodedata.normalize("NFC", instruction).split())
    if not plain:
        raise InputError("the instruction is empty; give at least one character")
    role, texts = "", [plain]
    text = plain.translate(_QUOTES)
    quoted = _QUOTED.findall(text)
    if len(quoted) == 1 and quoted[0][1].strip() and _QUOTED.sub("", text).strip(" .!?"):
        role = _role_in(_QUOTED.sub(" ", text))
        return Query((plain, quoted[0][1].strip()), role)
    verbless = _without_verb(_without(_POLITE, text, times=3))
    text, ending = _strip_end(verbless)
    text = _without(_ARTICLE, text)
    match = _NAMED.match(text)
    if not match and verbless != plain and not ending:
        match = _ROLE_START.match(text)
    if match and text[match.end() :].strip():
        role = _role_in(match.group())
        text = _without(_ARTICLE, text[match.end() :])
    elif ending:
        role = ending
    text = _unquoted(text)
    whole = _unquoted(_without(_ARTICLE, verbless))
    texts += [part for part in (whole, text) if part]
    return Query(tuple(dict.fromkeys(texts)), role)


def _without(pattern: re.Pattern, text: str, times: int = 1) -> str:
    for _ in range(times):
        match = pattern.match(text)
        if not match or not text[match.end() :].strip(" .!?'\""):
            break
        text = text[match.end() :].lstrip()
    return text


def _without_verb(text: str) -> str:
    """The text behind its verb, or behind two that an "and" joins, unless only a role is left."""
    shorter = _without(_VERB, text)
    if shorter != text and _AND.match(shorter):
        joined = _without(_VERB, _AND.sub("", shorter, count=1))
        shorter = joined if joined != _AND.sub("", shorter, count=1) else shorter
    bare = _ARTICLE.sub("", shorter.strip(" .!?"), count=1).lower()
    return text if bare in _ROLE_OF else shorter


def _strip_end(text: str) -> tuple[str, str]:
    """The text without its place and role words, and the role."""
    for _ in range(2):
        shorter = _PLACE.sub("", text)
        text = shorter if shorter.strip(" .!?'\"") else text
    match = _ROLE_END.search(text)
    if match and text[: match.start()].strip(" .!?'\""):
        named = text[: match.start()]
        if _ARTICLE.sub("", f"{named} ", count=1).strip():
            return named, _ROLE_OF[match.group(1).lower()]
    return text, ""


def _role_in(text: str) -> str:
    match = re.search(rf"\b({_ROLE})\b", text, re.IGNORECASE)
    return _ROLE_OF[match.group(1).lower()] if match else ""


def _unquoted(text: str) -> str:
    """The text without quotation marks around all of it, and without a sentence's full stop."""
    text = text.strip()
    if len(text) > 2 and text[0] == text[-1] and text[0] in "'\"`":
        text = text[1:-1].strip()
    dots = len(text) - len(text.rstrip("."))
    return text[:-1] if len(text) > 3 and dots in (1, 4) else text

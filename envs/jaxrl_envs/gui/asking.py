"""Ways to ask for an element: its text as it stands, in a sentence, in other letters, in part,
with a slip; and texts that are not on the screen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxrl_envs.gui.screen_words import pseudo_word

SENTENCES = (
    'Click the "{text}" {role}',
    "Please open the {text} {role}",
    "Go to {text}",
    'Find "{text}" on the page and select it',
    "I want to click on {text}",
)
"""Five patterns of English instructions to measure with; `{role}` is what the element is."""
ROLE_NAMES = {
    "a": "link", "link": "link", "button": "button", "submit": "button", "tab": "tab",
    "menuitem": "menu item", "input": "field", "textarea": "field", "checkbox": "checkbox",
    "radio": "option", "label": "option", "select": "menu", "summary": "menu",
}  # fmt: skip
TRAIN_SENTENCES = (
    "tap {text}",
    "Press {text}.",
    "Select the {role} {text}",
    "Navigate to the {text} page",
    "could you choose the {role} that says '{text}'?",
)
"""Other patterns, to train with."""


def sentence(pattern: str, text: str, element: str = "") -> str:
    """An instruction for an element's text; an unknown kind of element is left out of it."""
    role = ROLE_NAMES.get(element, "")
    return " ".join(pattern.format(text=text, role=role).split())


def other_letters(text: str, generator: np.random.Generator) -> str:
    """The text in lower case, upper case, or title case."""
    return (text.lower(), text.upper(), text.title())[int(generator.integers(3))]


def in_part(text: str, generator: np.random.Generator) -> str:
    """The text without its first or last words; as it is where it has one word."""
    words = text.split()
    if len(words) < 2:
        return text
    keep = int(generator.integers(max(1, len(words) // 2), len(words)))
    return " ".join(words[:keep] if generator.random() < 0.7 else words[-keep:])


def with_slip(text: str, generator: np.random.Generator) -> str:
    """The text with one letter lost, doubled or exchanged with the next; short ones as they are."""
    if len(text) < 5:
        return text
    place = int(generator.integers(1, len(text) - 1))
    draw = generator.random()
    if draw < 0.4:
        return text[:place] + text[place + 1 :]
    if draw < 0.7:
        return text[:place] + text[place] + text[place:]
    return text[: place - 1] + text[place] + text[place - 1] + text[place + 1 :]


def nonsense(generator: np.random.Generator) -> str:
    """One to four made-up words."""
    words = [pseudo_word(generator) for _ in range(int(generator.integers(1, 5)))]
    words = [word for word in words if len(word) > 3] or ["Qu" + pseudo_word(generator) + "zol"]
    return " ".join(words).capitalize()


def absent_text(
    texts: Sequence[str], elsewhere: Sequence[str], generator: np.random.Generator
) -> str:
    """A text that is likely not on a screen: another screen's, made up, or one with a word changed.

    The caller checks that it is not there.
    """
    draw = generator.random()
    if draw < 0.5 and elsewhere:
        return elsewhere[int(generator.integers(len(elsewhere)))]
    if draw < 0.8 or not texts:
        return nonsense(generator)
    words = texts[int(generator.integers(len(texts)))].split()
    words[int(generator.integers(len(words)))] = pseudo_word(generator) + pseudo_word(generator)
    return " ".join(words)


def ask(text: str, element: str, generator: np.random.Generator) -> str:
    """One of the ways to ask for an element, at random; half of them are its text as it stands."""
    draw = generator.random()
    if draw < 0.5:
        return text
    if draw < 0.74:
        pattern = TRAIN_SENTENCES[int(generator.integers(len(TRAIN_SENTENCES)))]
        return sentence(pattern, text, element)
    if draw < 0.86:
        return other_letters(text, generator)
    if draw < 0.94:
        return in_part(text, generator)
    return with_slip(text, generator)

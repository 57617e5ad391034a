"""What instructions name."""

import numpy as np
import pytest
from jaxrl_envs.gui.asking import SENTENCES, TRAIN_SENTENCES, sentence
from jaxrl_envs.gui.phrases import parse_instruction

from jaxrl_rewards.core.errors import InputError

CASES = [
    ("Sign in", "Sign in", ""),
    ('Click the "Sign in" button', "Sign in", "button"),
    ("Please click on the Sign in button.", "Sign in", "button"),
    ("Please find and click the Sign in button.", "Sign in", "button"),
    ("Open the Downloads page", "Downloads", "link"),
    ("Go to the Downloads section", "Downloads", "link"),
    ('Find "Home" on the page and click it', "Home", "link"),
    ("I want to open Settings", "Settings", ""),
    ("Search button", "Search", "button"),
    ("Type in the Search field", "Search", "field"),
    ("Select the option called Dark mode", "Dark mode", "option"),
    ("click the link that says Read more", "Read more", "link"),
    ("Where is the Contact link?", "Contact", "link"),
    ("Select Bar from the menu", "Bar", ""),
    ("Tap on the menu item Save As...", "Save As...", "menu"),
    ("Don't save", "Don't save", ""),
    ("click \u201cNext page\u201d", "Next page", ""),
]


@pytest.mark.parametrize(("instruction", "text", "role"), CASES)
def test_what_an_instruction_names(instruction, text, role):
    query = parse_instruction(instruction)
    assert query.texts[-1] == text and query.texts[0] == " ".join(instruction.split())
    if role:
        assert query.role == role


@pytest.mark.parametrize("text", ["Open file", "Select all", "Find", "Press", "Go", "Click here"])
def test_verbs_that_are_the_text_are_kept_as_a_reading(text):
    assert text in parse_instruction(text).texts
    assert text in parse_instruction(f"Click on {text}").texts
    assert text in parse_instruction(f'Press the "{text}" button').texts


@pytest.mark.parametrize("pattern", [*SENTENCES, *TRAIN_SENTENCES])
@pytest.mark.parametrize("text", ["Wertz Blom", "Kontakt", "Save As..."])
def test_every_pattern_gives_its_text_back(pattern, text):
    for kind in ("a", "button", "menuitem", "unknown"):
        asked = sentence(pattern, text, kind)
        assert text in parse_instruction(asked).texts, asked


def test_no_instruction_fails_or_gives_nothing():
    generator = np.random.default_rng(0)
    words = ["the", "click", '"', "'", "button", "on", "page", ".", "open", "and", "it", "X"]
    for _ in range(2000):
        text = " ".join(generator.choice(words, size=int(generator.integers(1, 7))))
        assert all(reading.strip() for reading in parse_instruction(text).texts)
    for blank in ("", "  \n"):
        with pytest.raises(InputError, match="empty"):
            parse_instruction(blank)

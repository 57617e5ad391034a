"""Words and phrases for generated screens: interface terms, pseudo-words, numbers, codes.

Everything comes from a seed. The interface terms are the everyday vocabulary of forms and menus;
pseudo-words are built from syllables; numbers, times, prices, dates, handles and random codes
follow patterns. No list from any page or corpus is used.
"""

from __future__ import annotations

import dataclasses

import numpy as np

_INTERFACE_TERMS_TEXT = """
    About Accept Account Actions Add Advanced Alert All Allow Amount Apply Archive Attach
    Audio Back Basket Billing Block Bold Bookmark Browse Calendar Call Camera Cancel Cart
    Category Change Chat Check Choose City Clear Close Code Comment Compare Confirm Connect
    Contact Continue Copy Create Customer Cut Dark Data Date Day Default Delete Delivery
    Details Device Disable Discount Done Download Draft Edit Enable Enter Error Event Exit
    Export Favourites File Filter Find Finish First Folder Follow Font Format Forward Friends
    Gallery Group Guest Header Height Help Hide History Home Hour Image Import Inbox Info
    Insert Invite Item Join Keep Key Label Language Last Later Layout Leave Length Library
    Light Like Link List Load Location Lock Map Mark Maximum Media Member Message Minimum
    Minute Mode Month More Move Music Mute New News Note Notifications Number Off On Open
    Option Order Other Owner Page Paste Pause Payment Period Photo Pin Play Plus Post Preview
    Price Print Privacy Product Profile Project Public Quantity Quit Rating Read Recent Redo
    Refresh Region Register Reject Reload Remind Remove Rename Replace Reply Report Reset
    Restore Result Retry Return Review Rows Rule Save Scan Schedule Section Select Send Server
    Service Set Settings Share Shipping Shop Show Size Skip Sort Source Start State Status
    Step Stop Store Street Style Subject Subtotal Summary Support Sync Table Task Team
    Template Test Text Theme Time Title Today Tools Topic Total Track Trash Type Undo Unit
    Unlock Update Upgrade Upload User Value Version Video View Visit Volume Warning Watch
    Website Week Weight Width Window Work Year Yes Zone Zoom
"""
INTERFACE_TERMS = tuple(_INTERFACE_TERMS_TEXT.split())
_SMALL_WORDS_TEXT = """
    a an and as at by for from in into is it of on or the this to with you your
"""
SMALL_WORDS = tuple(_SMALL_WORDS_TEXT.split())
_ONSETS_TEXT = """
    b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kn l m n p ph pl pr qu r s sc sh sk sl sm
    sn sp st str sw t th tr tw v w wh y z
"""
ONSETS = tuple(_ONSETS_TEXT.split())
VOWELS = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "au", "ea", "ee", "io", "oo", "ou")
_CODA_TEXT = "b c ck d f g k l ll m n nd ng nt p r rd rs rt s ss st t th x"
CODAS = ("", "", *_CODA_TEXT.split())
CODE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
MARKS = (":", ":", ":", ".", ",", "!", "?", ";", "...")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Pseudo-words of one seed, and the draws of words, labels and sentences from them."""

    pseudo_words: tuple[str, ...]

    def word(self, generator: np.random.Generator) -> str:
        """Draw one word in some case."""
        if generator.random() < 0.2:
            base = INTERFACE_TERMS[generator.integers(len(INTERFACE_TERMS))]
        else:
            base = self.pseudo_words[generator.integers(len(self.pseudo_words))]
        draw = generator.random()
        if draw < 0.4:
            return base.capitalize()
        if draw < 0.5:
            return base.upper()
        return base.lower()

    def sentence(self, generator: np.random.Generator, words: int) -> str:
        """Draw a sentence of `words` words with stops and commas."""
        parts = []
        for index in range(words):
            if generator.random() < 0.25:
                part = SMALL_WORDS[generator.integers(len(SMALL_WORDS))]
            else:
                part = self.word(generator)
                part = part.lower() if generator.random() < 0.8 else part
            if generator.random() < 0.12 and index < words - 1:
                part += ",.;:"[generator.integers(4)]
            parts.append(part)
        text = " ".join(parts)
        text = text[0].upper() + text[1:]
        return text + "." if generator.random() < 0.7 else text

    def label(self, generator: np.random.Generator) -> str:
        """Draw a short text as buttons, labels, cells and links carry it."""
        draw = generator.random()
        if draw < 0.42:
            return self.word(generator)
        if draw < 0.58:
            second = self.word(generator)
            second = second.lower() if generator.random() < 0.5 else second
            text = f"{self.word(generator)} {second}"
            return f"{text} {self.word(generator).lower()}" if generator.random() < 0.2 else text
        if draw < 0.68:
            return self.word(generator) + MARKS[generator.integers(len(MARKS))]
        if draw < 0.80:
            return random_code(generator)
        return self.figure(generator)

    def figure(self, generator: np.random.Generator) -> str:
        """Draw a text with digits or signs: number, time, price, date, handle, address, symbol."""
        integer = generator.integers
        whole = int(10 ** generator.uniform(0, 4))
        name = self.word(generator)
        match int(integer(14)):
            case 0 | 1:
                return str(integer(0, 10))
            case 2:
                return str(whole)
            case 3:
                return f"{integer(1, 13)}{('am', 'pm', ' AM', ' PM')[integer(4)]}"
            case 4:
                return f"{integer(0, 24)}:{integer(0, 60):02d}"
            case 5:
                return f"${whole}" + (f".{integer(100):02d}" if integer(2) else "")
            case 6:
                return f"{MONTHS[integer(12)]} {integer(1, 32)}, {integer(1930, 2040)}"
            case 7:
                return str(integer(1900, 2040))
            case 8:
                return f"@{name.lower()}"
            case 9:
                return f"{integer(1, 60)}{'smhd'[integer(4)]}" + (" ago" if integer(2) else "")
            case 10:
                return f"{integer(100, 1000)}-{integer(100, 1000)}-{integer(1000, 10000)}"
            case 11:
                opening, closing = (("#", ""), ("", ""), ("(", ")"), ("- ", ""))[integer(4)]
                return f"{name} {opening}{whole}{closing}"
            case 12:
                return f"{name.lower()}{whole}@{self.word(generator).lower()}.com"
            case 13:
                signs = ("+", "-", "=", ">", "<", ">>", "x =", "%", "*", "/", "&", "?", "!", "...")
                return signs[integer(len(signs))]
            case _:
                return name


def random_code(generator: np.random.Generator) -> str:
    """Draw 1-8 letters and digits without meaning."""
    count = int(generator.integers(1, 9))
    picks = generator.integers(len(CODE_LETTERS), size=count)
    return "".join(CODE_LETTERS[index] for index in picks)


def pseudo_word(generator: np.random.Generator) -> str:
    """Draw a lower-case word of one to four syllables."""
    syllables = int(generator.choice([1, 2, 3, 4], p=[0.3, 0.42, 0.22, 0.06]))
    text = ""
    for _ in range(syllables):
        onset = "" if generator.random() < 0.15 else ONSETS[generator.integers(len(ONSETS))]
        coda = CODAS[generator.integers(len(CODAS))] if generator.random() < 0.5 else ""
        text += onset + VOWELS[generator.integers(len(VOWELS))] + coda
    return text[:14] if len(text) > 1 else text + "n"


def make_vocabulary(seed: int, size: int = 20_000) -> Vocabulary:
    """Return the vocabulary of a seed with `size` different pseudo-words.

    Raises ValueError for a size outside 1..100,000.
    """
    if not 1 <= size <= 100_000:
        raise ValueError(f"vocabulary size is {size}; use 1 to 100,000 words")
    generator = np.random.default_rng([seed, 11])
    words: dict[str, None] = {}
    while len(words) < size:
        words.setdefault(pseudo_word(generator))
    return Vocabulary(tuple(words))

"""Instructions: read back by an independent reader, they fit the target and nothing else."""

import jax
import numpy as np
import pytest
from jaxrl_envs.gui import instruct as gui
from jaxrl_envs.gui import layout as screens

from jaxrl_rewards.core import InputError

CONFIG = screens.ScreenConfig()
COUNT = 400
KEYS = jax.random.split(jax.random.key(3), COUNT)


def draw(unseen, mode):
    def one(key):
        key_layout, key_task = jax.random.split(key)
        layout = screens.sample_layout(key_layout, CONFIG, screens.layout_params(unseen))
        return layout, gui.compose(key_task, layout, mode)

    return jax.device_get(jax.jit(jax.vmap(one))(KEYS))


def related(relation, one, anchor):
    """By the words' meaning, with half of the shorter side shared."""
    axis = 0 if relation in ("left of", "right of") else 1
    first, second = (one, anchor) if relation in ("left of", "above") else (anchor, one)
    if first[2 + axis] > second[axis]:
        return False
    other = 1 - axis
    shared = min(one[2 + other], anchor[2 + other]) - max(one[other], anchor[other])
    return shared >= min(one[2 + other] - one[other], anchor[2 + other] - anchor[other]) / 2


def matches(words, layout):
    """Slots that fit the words of an instruction, read from left to right."""
    slots = [s for s in range(32) if layout.valid[s] and layout.kind[s] >= screens.BUTTON]
    kind = lambda s: screens.KINDS[layout.kind[s]]  # noqa: E731
    label = lambda s: gui.token_name(gui.FIRST_LABEL + layout.label[s])  # noqa: E731
    label_of = {s: label(s) if layout.label[s] >= 0 else None for s in slots}
    words = list(words)
    if "in" in words:
        panel = words[words.index("in") + 1]
        words = words[: words.index("in")]
        slots = [s for s in slots if kind(layout.parent[s]) == panel]
    relation = next((w for w in words if w in gui.RELATIONS), None)
    if relation:
        anchor_kind, anchor_label = words[words.index(relation) + 1 :]
        words = words[: words.index(relation)]
        anchors = [s for s in label_of if kind(s) == anchor_kind and label_of[s] == anchor_label]
        assert len(anchors) == 1, "an anchor that is not unique"
        slots = [s for s in slots if related(relation, layout.box[s], layout.box[anchors[0]])]
    for word in words:
        if word in screens.COLOURS:
            slots = [s for s in slots if screens.COLOURS[layout.colour[s]] == word]
        elif word in screens.KINDS:
            slots = [s for s in slots if kind(s) == word]
        else:
            slots = [s for s in slots if label_of[s] == word]
    return slots


@pytest.mark.parametrize(("unseen", "mode"), [((), "mixed"), (True, "mixed"), ((), "shortest")])
def test_one_element_fits_and_it_is_the_target(unseen, mode):
    layouts, tasks = draw(unseen, mode)
    for index in range(COUNT):
        layout, task = jax.tree.map(lambda leaf, i=index: leaf[i], (layouts, tasks))
        words = [gui.token_name(int(token)) for token in task.tokens if token]
        assert words and matches(words, layout) == [task.target], gui.instruction_text(task.tokens)
        assert np.all(np.diff((task.tokens == 0).astype(int)) >= 0), "a gap before the end"
        assert task.tokens.max() < gui.VOCABULARY
    forms = np.bincount(tasks.form, minlength=len(gui.FORMS)) / COUNT
    if mode == "mixed":
        assert np.all(forms > 0.02), forms
    else:
        assert forms[0] > 0.3


@pytest.mark.slow
def test_shortest_takes_the_first_clear_form():
    layouts, tasks = draw((), "shortest")
    for index in range(50):
        layout, task = jax.tree.map(lambda leaf, i=index: leaf[i], (layouts, tasks))
        plain, related_counts = jax.device_get(gui.count_matches(layout))
        clear = [*(plain[:, task.target] == 1), bool(np.any(related_counts[:, task.target] == 1))]
        assert clear.index(True) == task.form


@pytest.mark.slow
def test_bad_settings_are_named():
    layout = screens.sample_layout(KEYS[0], CONFIG, screens.layout_params())
    with pytest.raises(InputError, match="longest"):
        gui.instruct(KEYS[0], layout, "longest")
    with pytest.raises(InputError, match="vocabulary"):
        gui.token_name(gui.VOCABULARY)

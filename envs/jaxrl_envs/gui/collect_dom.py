"""The script that lists what can be clicked on a page, and what its findings mean."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

_ROLES = (
    *("button", "link", "checkbox", "radio", "switch", "tab", "menuitem", "menuitemcheckbox"),
    *("menuitemradio", "option", "combobox", "textbox", "searchbox", "slider", "spinbutton"),
    "treeitem",
)
_TAGS = ("a[href]", "button", "input:not([type=hidden])", "select", "textarea", "label", "summary")
_MARKS = ("[onclick]", "[contenteditable='']", "[contenteditable=true]")
SELECTOR = ", ".join((*_TAGS, *_MARKS, *(f"[role={role}]" for role in _ROLES)))

# What of the page can be seen.
_SIGHT = """
  const clean = (text) => (text || '').replace(/\\s+/g, ' ').trim();
  const width = window.innerWidth, height = window.innerHeight;
  const opacityOf = (node) => {
    let opacity = 1;
    for (let up = node; up; up = up.parentElement) opacity *= +getComputedStyle(up).opacity;
    return opacity;
  };
  const clippedAway = (style) => {
    const sides = style.clip === 'auto' ? null : style.clip.match(/-?[\\d.]+/g);
    if (sides && sides.length === 4 && (sides[1] - sides[3] <= 1 || sides[2] - sides[0] <= 1))
      return true;
    const inset = style.clipPath.match(/^inset\\(([\\d.]+)%/);
    return inset !== null && +inset[1] >= 50;
  };
  // The part of a text node that can be seen; null where there is none, because it is outside the
  // screen, transparent, or cut away (texts for screen readers only).
  const range = document.createRange();
  const seen = (text) => {
    const parent = text.parentElement;
    if (!parent || !clean(text.data)) return null;
    if (getComputedStyle(parent).visibility !== 'visible' || opacityOf(parent) < 0.05) return null;
    range.selectNodeContents(text);
    const rect = range.getBoundingClientRect();
    let [x1, y1, x2, y2] = [rect.left, rect.top, rect.right, rect.bottom];
    const cut = (box) => {
      x1 = Math.max(x1, box.left); y1 = Math.max(y1, box.top);
      x2 = Math.min(x2, box.right); y2 = Math.min(y2, box.bottom);
    };
    cut({ left: 0, top: 0, right: width, bottom: height });
    let escaped = false;  // an absolute box is not cut by ancestors that are not positioned
    for (let up = parent; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (escaped && style.position === 'static') continue;
      escaped = style.position === 'absolute';
      if (clippedAway(style)) return null;
      const cuts = style.overflowX !== 'visible' || style.overflowY !== 'visible';
      if (cuts && style.display !== 'inline') cut(up.getBoundingClientRect());
      if (style.position === 'fixed') break;
    }
    return x2 - x1 > 2 && y2 - y1 > 2 ? { x: (x1 + x2) / 2, y: (y1 + y2) / 2 } : null;
  };
  const textsIn = (node) => {
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) if (clean(walker.currentNode.data)) texts.push(walker.currentNode);
    return texts;
  };
  // innerText without what is rendered but cannot be seen.
  const seenText = (node) => {
    const rendered = textsIn(node).filter((text) => {
      range.selectNodeContents(text);
      return range.getClientRects().length > 0;
    });
    const shown = rendered.filter(seen);
    if (shown.length === rendered.length) return node.innerText;
    return shown.map((text) => text.data).join(' ');
  };
"""

# What may be clicked: the selector's elements, and those with a pointer cursor or a listener that
# neither stand in one of these nor hold one, nor hold another such.
_CANDIDATES = """
  const listening = new Set(handled);
  const isPointer = (node) => node && getComputedStyle(node).cursor === 'pointer';
  const weak = new Set();
  for (const node of document.body ? document.body.querySelectorAll('*') : [])
    if ((listening.has(node) || (isPointer(node) && !isPointer(node.parentElement))) &&
        !node.closest(selector) && !node.querySelector(selector)) weak.add(node);
  for (const node of Array.from(weak))
    for (let up = node.parentElement; up; up = up.parentElement) weak.delete(up);
  const candidates = Array.from(document.querySelectorAll('*'))
    .filter((node) => weak.has(node) || node.matches(selector));
"""

# The elements, and of each the others that may be the same thing twice.
_ELEMENTS = """
  const shown = [];
  const identity = new Map();
  for (const node of candidates) {
    const style = getComputedStyle(node);
    if (style.visibility !== 'visible' || style.display === 'none') continue;
    if (opacityOf(node) < 0.05) continue;
    const rect = node.getBoundingClientRect();
    const box = {
      x1: Math.max(rect.left, 0), y1: Math.max(rect.top, 0),
      x2: Math.min(rect.right, width), y2: Math.min(rect.bottom, height),
    };
    if (!(box.x2 - box.x1 > 0 && box.y2 - box.y1 > 0)) continue;
    const inside = (box.x2 - box.x1) * (box.y2 - box.y1) / (rect.width * rect.height);
    if (inside < 0.5) continue;
    const hit = document.elementFromPoint((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2);
    if (!hit || !(hit === node || node.contains(hit))) continue;
    const tag = node.tagName.toLowerCase();
    const type = tag === 'input' ? (node.type || 'text') : '';
    const pushes = ['submit', 'reset', 'button'].includes(type);
    const marks = ['checkbox', 'radio', 'range', 'color', 'file', 'image'].includes(type);
    let visible = '';
    if (tag === 'select') {
      visible = Array.from(node.selectedOptions).map((o) => o.text).join(', ');
    } else if (pushes) {
      visible = node.value || { submit: 'Submit', reset: 'Reset', button: '' }[type];
    } else if (tag === 'input' || tag === 'textarea') {
      if (!marks && !node.value) visible = node.placeholder;
    } else {
      visible = seenText(node);
    }
    const label = node.labels && node.labels.length ? node.labels[0].innerText : '';
    const picture = node.matches('img') ? node : node.querySelector('img[alt], svg title');
    const labelling = (node.getAttribute('aria-labelledby') || '').split(/\\s+/)
      .map((id) => id && document.getElementById(id)).filter(Boolean);
    const named = labelling.map((other) => other.innerText).join(' ');
    const field = !pushes && !marks && (tag === 'input' || tag === 'textarea');
    const value = (type === 'password' || marks || tag === 'select') ? '' :
      (field ? node.value : node.getAttribute('value'));
    const texts = [
      ['text', visible], ['aria-label', node.getAttribute('aria-label')],
      ['aria-labelledby', named], ['placeholder', field ? node.placeholder : ''],
      ['alt', node.getAttribute('alt') || (picture && (picture.alt || picture.textContent))],
      ['title', node.getAttribute('title')],
    ];
    const last = [['value', value], ['label', label]];
    if (!['select', 'input', 'textarea'].includes(tag)) last.push(['hidden', node.innerText]);
    if (field) last.reverse();  // what a field asks for says more than what was typed into it
    identity.set(node, shown.length);
    shown.push({
      ...box, node, names: [...(node.labels || []), ...labelling], tag, type,
      role: node.getAttribute('role') || '',
      visible: clean(field && node.value && type !== 'password' ? node.value : visible),
      texts: texts.concat(last).map(([source, text]) => [source, clean(text)])
        .filter(([, text]) => text),
    });
  }
  // Of a nested pair the inner one is its twin; of a label and its control, the other of the two.
  const related = shown.map((item) => {
    const twins = [];
    for (let up = item.node.parentElement; up; up = up.parentElement)
      if (identity.has(up)) twins.push(['outer', identity.get(up)]);
    if (item.tag === 'label' && item.node.control && identity.has(item.node.control))
      twins.push(['control', identity.get(item.node.control)]);
    const { node, names, ...rest } = item;
    return { ...rest, twins };
  });
"""

# The texts that can be seen.
_WORDS = """
  const owners = new Map();
  shown.forEach((item, index) => [item.node, ...item.names].forEach((root) =>
    owners.set(root, [...(owners.get(root) || []), index])));
  const ownersOf = (node) => {
    const found = [];
    for (let up = node; up; up = up.parentElement) found.push(...(owners.get(up) || []));
    return found;
  };
  const words = [];
  for (const text of document.body ? textsIn(document.body) : []) {
    const at = seen(text), parent = text.parentElement;
    const hit = at && document.elementFromPoint(at.x, at.y);
    if (!hit || !(hit.contains(parent) || parent.contains(hit))) continue;
    words.push({ text: clean(text.data), owners: ownersOf(parent) });
    if (parent.childNodes.length > 1)
      words.push({ text: clean(seenText(parent)), owners: ownersOf(parent) });
  }
  shown.forEach((item, index) => {
    if (item.visible && ['input', 'select', 'textarea'].includes(item.tag))
      words.push({ text: item.visible, owners: [index, ...ownersOf(item.node)] });
  });
"""

# Called as (selector, ...nodes with a listener). Returns, in CSS pixels,
#   {elements: [{x1, y1, x2, y2, texts: [[source, text], ...], visible, tag, type, role, twins}],
#    words: [{text, owners}]}
# where `words` are the texts that can be seen and `owners` the elements they stand in or name.
# It runs in a world of its own, so that a page which redefines built-ins cannot disturb it.
SCRIPT = (
    """
async function (selector, ...handled) {
  if (document.fonts && document.fonts.ready) await document.fonts.ready;
  await new Promise((done) => setTimeout(done, 50));
"""
    + _SIGHT
    + _CANDIDATES
    + _ELEMENTS
    + _WORDS
    + """
  return JSON.stringify({ elements: related, words });
}
"""
)


@dataclasses.dataclass(frozen=True)
class Element:
    """One clickable element: box in CSS pixels, how to ask for it, and what it is."""

    box: tuple[float, float, float, float]
    instruction: str
    source: str
    data_type: str
    element: str


def choose_elements(
    found: list[dict],
    words: Sequence[dict] = (),
    *,
    ambiguous: str = "drop",
    min_size: float = 4.0,
    max_text: int = 120,
) -> list[Element]:
    """Turn the script's findings (`elements` and `words`) into elements with an instruction each.

    The instruction is the first of: visible text, aria-label, placeholder, alternative text,
    title, value, associated label (for text fields the label before the value), text for screen
    readers only. An element with
    visible text of its own is of type "text", else "icon". Left out are: elements without any
    such text or with more than `max_text` characters, boxes with a side below `min_size` CSS
    pixels, the outer of two nested elements with the same instruction, and of a label and its
    control with the same instruction the control if it is a checkbox or radio button, else the
    label. With `ambiguous="drop"`, so is every instruction that is left twice on the page, or is
    also the whole of another text that can be seen (a heading, say), letters' case aside.
    """
    texts = [item["texts"][0] if item["texts"] else ("", "") for item in found]
    dropped = set()
    for index, item in enumerate(found):
        for relation, other in item["twins"]:
            if texts[index][1] != texts[other][1]:
                continue
            if relation == "control" and found[other]["type"] not in ("checkbox", "radio"):
                dropped.add(index)
            elif not (
                relation == "outer"
                and item["tag"] in ("input", "select", "textarea")
                and found[other]["tag"] == "label"
            ):
                dropped.add(other)
    elements: list[tuple[int, Element]] = []
    for index, item in enumerate(found):
        source, text = texts[index]
        box = (item["x1"], item["y1"], item["x2"], item["y2"])
        small = min(box[2] - box[0], box[3] - box[1]) < min_size
        if index in dropped or small or not text or len(text) > max_text:
            continue
        data_type = "text" if item["visible"] else "icon"
        name = item["role"] or item["tag"]
        elements.append((index, Element(box, text, source, data_type, name)))
    if ambiguous == "drop":
        counts = Counter(element.instruction.casefold() for _, element in elements)
        elsewhere: dict[str, list[set[int]]] = {}
        for word in words:
            elsewhere.setdefault(word["text"].casefold(), []).append(set(word["owners"]))
        elements = [
            (index, element)
            for index, element in elements
            for text in [element.instruction.casefold()]
            if counts[text] == 1 and all(index in owners for owners in elsewhere.get(text, ()))
        ]
    return [element for _, element in elements]

"""The script that lists what can be clicked on a page, and what its findings mean."""

import dataclasses
from collections import Counter

_ROLES = (
    *("button", "link", "checkbox", "radio", "switch", "tab", "menuitem", "menuitemcheckbox"),
    *("menuitemradio", "option", "combobox", "textbox", "searchbox", "slider", "spinbutton"),
    "treeitem",
)
_TAGS = ("a[href]", "button", "input:not([type=hidden])", "select", "textarea", "label", "summary")
_MARKS = ("[onclick]", "[contenteditable='']", "[contenteditable=true]")
SELECTOR = ", ".join((*_TAGS, *_MARKS, *(f"[role={role}]" for role in _ROLES)))

# Returns [{x1, y1, x2, y2, texts: [[source, text], ...], visible, element, role}] in CSS pixels.
# It runs in a world of its own, so that a page which redefines built-ins cannot disturb it.
SCRIPT = """
(async (selector) => {
  if (document.fonts && document.fonts.ready) await document.fonts.ready;
  await new Promise((done) => setTimeout(done, 50));
  const clean = (text) => (text || '').replace(/\\s+/g, ' ').trim();
  const width = window.innerWidth, height = window.innerHeight;
  const shown = [];
  const identity = new Map();
  for (const node of document.querySelectorAll(selector)) {
    const style = getComputedStyle(node);
    if (style.visibility !== 'visible' || style.display === 'none') continue;
    let opacity = 1;
    for (let up = node; up; up = up.parentElement) opacity *= +getComputedStyle(up).opacity;
    if (opacity < 0.05) continue;
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
      visible = node.innerText;
    }
    const label = node.labels && node.labels.length ? node.labels[0].innerText : '';
    const picture = node.matches('img') ? node : node.querySelector('img[alt], svg title');
    const named = (node.getAttribute('aria-labelledby') || '').split(/\\s+/)
      .map((id) => id && document.getElementById(id)).filter(Boolean)
      .map((other) => other.innerText).join(' ');
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
    if (field) last.reverse();  // what a field asks for says more than what was typed into it
    identity.set(node, shown.length);
    shown.push({
      ...box, node, tag, type, role: node.getAttribute('role') || '',
      visible: clean(field && node.value && type !== 'password' ? node.value : visible),
      texts: texts.concat(last).map(([source, text]) => [source, clean(text)])
        .filter(([, text]) => text),
    });
  }
  // Of a nested pair the inner one is its twin; of a label and its control, the other of the two.
  return JSON.stringify(shown.map((item) => {
    const twins = [];
    for (let up = item.node.parentElement; up; up = up.parentElement)
      if (identity.has(up)) twins.push(['outer', identity.get(up)]);
    if (item.tag === 'label' && item.node.control && identity.has(item.node.control))
      twins.push(['control', identity.get(item.node.control)]);
    const { node, ...rest } = item;
    return { ...rest, twins };
  }));
})(%s)
"""


@dataclasses.dataclass(frozen=True)
class Element:
    """One clickable element: box in CSS pixels, how to ask for it, and what it is."""

    box: tuple[float, float, float, float]
    instruction: str
    source: str
    data_type: str
    element: str


def choose_elements(
    found: list[dict], *, ambiguous: str = "drop", min_size: float = 4.0, max_text: int = 120
) -> list[Element]:
    """Turn the script's findings into elements with an instruction each.

    The instruction is the first of: visible text, aria-label, placeholder, alternative text,
    title, value, associated label (for text fields the label before the value). An element with
    visible text of its own is of type "text", else "icon". Left out are: elements without any
    such text or with more than `max_text` characters, boxes with a side below `min_size` CSS
    pixels, the outer of two nested elements with the same instruction, and of a label and its
    control with the same instruction the control if it is a checkbox or radio button, else the
    label. With `ambiguous="drop"`, so is every instruction that is left twice on the page.
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
    elements = []
    for index, item in enumerate(found):
        source, text = texts[index]
        box = (item["x1"], item["y1"], item["x2"], item["y2"])
        small = min(box[2] - box[0], box[3] - box[1]) < min_size
        if index in dropped or small or not text or len(text) > max_text:
            continue
        data_type = "text" if item["visible"] else "icon"
        elements.append(Element(box, text, source, data_type, item["role"] or item["tag"]))
    if ambiguous == "drop":
        counts = Counter(element.instruction.casefold() for element in elements)
        elements = [item for item in elements if counts[item.instruction.casefold()] == 1]
    return elements

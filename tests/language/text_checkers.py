"""The token tasks' rules once more, in plain Python over text; shares nothing with the worlds.

Each function takes the prompt and the answer as text (padding shown as "_") and returns
`(correct, [(right, sound) of every finished step])`.
"""

from functools import cache
from itertools import permutations


def finished(answer):
    """`(steps, ended)`: the finished steps' texts; the last belongs to the end if `ended`."""
    body, end, _ = answer.partition("$")
    steps = body.split(";")
    return (steps, True) if end else (steps[:-1], False)


def arithmetic(prompt, answer):
    first, second = prompt.rstrip("_").rstrip("=").split("+")
    level = len(first)
    truth = f"{int(first) + int(second):0{level + 1}d}"
    steps, ended = finished(answer)
    carry, digits, good, labels, correct = 0, [0] * level, True, [], False
    for i, step in enumerate(steps):
        last = ended and i == len(steps) - 1
        if last:
            correct = step == truth
            written = f"{carry}" + "".join(map(str, reversed(digits)))
            right = step == (written if i == level else truth)
        else:
            right = False
            if i < level and len(step) == 8:
                a, b = int(first[-1 - i]), int(second[-1 - i])
                right = step == f"{a}+{b}+{carry}={a + b + carry:02d}"
                carry = int(step[6]) if step[6].isdigit() else 0
                digits[i] = int(step[7]) if step[7].isdigit() else 0
        good = good and right and (correct or not last)
        labels.append((right, good))
    return correct, labels


def modular_chain(prompt, answer, table, modulus):
    prompt = prompt.rstrip("_").rstrip("=")
    value, operations = int(prompt[0], 16), [ord(o) - ord("g") for o in prompt[1:]]
    truth = value
    for operation in operations:
        truth = int(table[operation][truth])
    steps, ended = finished(answer)
    good, labels, correct = True, [], False
    for i, step in enumerate(steps):
        last = ended and i == len(steps) - 1
        known = len(step) == 1 and step in "0123456789abcdef"[:modulus]
        right = known and i < len(operations) and last == (i == len(operations) - 1)
        right = right and int(step, 16) == int(table[operations[i]][value])
        if known:
            value = int(step, 16)
        correct = last and known and value == truth
        good = good and right
        labels.append((right, good))
    return correct, labels


@cache
def can_reach(numbers, target):
    """Whether the numbers (a sorted tuple) can be combined to the target."""
    if len(numbers) == 1:
        return numbers[0] == target
    for order in permutations(range(len(numbers)), 2):
        a, b = numbers[order[0]], numbers[order[1]]
        rest = [n for k, n in enumerate(numbers) if k not in order]
        for result in (a + b, a - b, a * b):
            if 0 <= result <= 99 and can_reach(tuple(sorted([*rest, result])), target):
                return True
    return False


def countdown(prompt, answer):
    left, _, target = prompt.rstrip("_").rstrip("=").partition(">")
    pool, target = [int(n) for n in left.split(",")], int(target)
    steps, ended = finished(answer)
    good, every, labels, correct = True, True, [], False
    for i, step in enumerate(steps):
        last = ended and i == len(steps) - 1
        legal = len(step) == 8 and step[2] in "+-*" and step[5] == "="
        legal = legal and (step[:2] + step[3:5] + step[6:]).isdigit()
        if legal:
            a, b, result = int(step[:2]), int(step[3:5]), int(step[6:])
            legal = result == {"+": a + b, "-": a - b, "*": a * b}[step[2]]
            after = list(pool)
            for n in (a, b):
                legal = legal and n in after
                if n in after:
                    after.remove(n)
            if legal:
                pool = [*after, result]
        alone = len(pool) == 1
        right = legal and last == alone
        good = good and right and can_reach(tuple(sorted(pool)), target)
        every = every and legal
        correct = last and every and pool == [target]
        labels.append((right, good))
    return correct, labels


def graph_path(prompt, answer):
    listed, _, question = prompt.rstrip("_").rstrip("=").partition(":")
    edges = {tuple(edge) for edge in listed.split(",")}
    node, target = question.split(">")

    def leads(start):
        found, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for tail, head in edges:
                if tail == here and head not in found:
                    found.add(head)
                    todo.append(head)
        return target in found

    possible, (steps, ended) = leads(node), finished(answer)
    good, every, labels, correct = True, True, [], False
    for i, step in enumerate(steps):
        last = ended and i == len(steps) - 1
        if step == "-" and i == 0 and last:
            labels.append((not possible, not possible))
            return not possible, labels
        named = len(step) == 1 and "a" <= step <= "h"
        legal = named and (node, step) in edges
        if named:
            node = step
        right = legal and (not last or node == target)
        good, every = good and right and leads(node), every and legal
        correct = last and every and node == target
        labels.append((right, good))
    return correct, labels


def planted_sequence(prompt, answer, word, horizon):
    labels, read = [], ""
    for i, token in enumerate(answer[:horizon]):

        def longest(text):
            if word in text:
                return len(word)
            return max(k for k in range(len(word) + 1) if text.endswith(word[:k]))

        before, read = longest(read), read + token
        now = longest(read)
        last = token == "$" or i == horizon - 1
        right = before == len(word) or now == before + 1
        sound = now == len(word) or (not last and horizon - i - 1 >= len(word) - now)
        labels.append((right, right and sound))
        if last:
            return now == len(word), labels
    return False, labels


def key_tokens(prompt, answer, keys):
    labels, good = [], True
    for i, token in enumerate(answer[: len(keys)]):
        last = token == "$" or i == len(keys) - 1
        right = keys[i] in ("", token) and last == (i == len(keys) - 1)
        good = good and right
        labels.append((right, good))
        if last:
            return good, labels
    return False, labels

"""GitHub's expressions, as far as our workflows use them. What is not known here is an error, not an empty string."""

import fnmatch
import hashlib
import json
import os
import re

TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<string>'(?:[^']|'')*')|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<sign>==|!=|<=|>=|&&|\|\||[!()\[\].,<>*]))"
)


class ExpressionError(Exception):
    """The expression is wrong, or beyond us."""


def fill(text, contexts):
    """Replaces every ${{ … }} in a text."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: as_text(evaluate(found[1], contexts)), text, flags=re.DOTALL)


def value(text, contexts):
    """A text that is one expression has that expression's value; any other is filled."""
    whole = re.fullmatch(r"\s*\$\{\{((?:(?!\}\}).)*)\}\}\s*", text, flags=re.DOTALL)
    return evaluate(whole[1], contexts) if whole else fill(text, contexts)


def condition(text, contexts):
    """The value of an `if`, which can leave out ${{ }}, and which means `success() && …` if it asks for no status."""
    text = str(text).strip()
    whole = re.fullmatch(r"\$\{\{(.*)\}\}", text, flags=re.DOTALL)
    text = whole[1] if whole else text
    result = truth(evaluate(text, contexts))
    asks = re.search(r"\b(always|success|failure|cancelled)\s*\(", text)
    return result if asks else result and contexts["status"] == "success"


def evaluate(text, contexts):
    """The value of an expression."""
    return _Parser(text, contexts).whole()


def as_text(value):
    """A value as it stands in a script."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def truth(value):
    """What counts as true."""
    return value not in (None, False, 0, "")


class _Parser:
    def __init__(self, text, contexts):
        self.text, self.contexts, self.at, self.tokens = text, contexts, 0, []
        position = 0
        text = text.rstrip()
        while position < len(text):
            found = TOKEN.match(text, position)
            if not found:
                raise ExpressionError(f"not understood: {text[position:]!r} in {text!r}")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            position = found.end()

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else (None, None)

    def take(self, sign=None):
        token = self.peek()
        if sign is not None and token != ("sign", sign):
            raise ExpressionError(f"`{sign}` is missing in {self.text!r}")
        self.at += 1
        return token

    def whole(self):
        result = self.either()
        if self.peek() != (None, None):
            raise ExpressionError(f"too much in {self.text!r}")
        return result

    def either(self):
        result = self.both()
        while self.peek() == ("sign", "||"):
            self.take()
            other = self.both()
            result = result if truth(result) else other
        return result

    def both(self):
        result = self.comparison()
        while self.peek() == ("sign", "&&"):
            self.take()
            other = self.comparison()
            result = other if truth(result) else result
        return result

    def comparison(self):
        result = self.unary()
        while self.peek() in (("sign", "=="), ("sign", "!=")):
            _, sign = self.take()
            equal = _equal(result, self.unary())
            result = equal if sign == "==" else not equal
        return result

    def unary(self):
        if self.peek() == ("sign", "!"):
            self.take()
            return not truth(self.unary())
        return self.primary()

    def primary(self):
        kind, token = self.take()
        if kind == "number":
            return float(token)
        if kind == "string":
            return token[1:-1].replace("''", "'")
        if (kind, token) == ("sign", "("):
            result = self.either()
            self.take(")")
            return result
        if kind != "name":
            raise ExpressionError(f"a value is missing in {self.text!r}")
        if token in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[token]
        if self.peek() == ("sign", "("):
            return self.call(token)
        if token not in self.contexts:
            raise ExpressionError(f"there is no `{token}` here: {self.text!r}")
        return self.path(self.contexts[token], token)

    def path(self, value, name):
        while self.peek() in (("sign", "."), ("sign", "[")):
            _, sign = self.take()
            if sign == ".":
                key = self.take()[1]
            else:
                key = self.either()
                self.take("]")
            # `github`, `runner`, `inputs` and `matrix` are all there: a missing key is a slip. Outputs may be missing.
            if isinstance(value, dict) and key not in value and name in ("github", "runner", "inputs", "matrix"):
                raise ExpressionError(f"there is no `{name}.{key}`: {self.text!r}")
            value = value.get(key) if isinstance(value, dict) else None
            name = f"{name}.{key}"
        return value

    def call(self, name):
        self.take("(")
        words = []
        while self.peek() != ("sign", ")"):
            words.append(self.either())
            if self.peek() == ("sign", ","):
                self.take()
        self.take(")")
        status = self.contexts["status"]
        functions = {
            "always": lambda: True,
            "success": lambda: status == "success",
            "failure": lambda: status == "failure",
            "cancelled": lambda: False,
            "contains": lambda where, what: as_text(what) in (where if isinstance(where, list) else as_text(where)),
            "startsWith": lambda text, start: as_text(text).lower().startswith(as_text(start).lower()),
            "format": lambda text, *rest: re.sub(r"\{(\d+)\}", lambda found: as_text(rest[int(found[1])]), text),
            "fromJSON": json.loads,
            "hashFiles": self.hash_files,
        }
        if name not in functions:
            raise ExpressionError(f"there is no function `{name}` here: {self.text!r}")
        return functions[name](*words)

    def hash_files(self, *patterns):
        root, whole = self.contexts["github"]["workspace"], hashlib.sha256()
        names = [os.path.relpath(os.path.join(folder, name), root) for folder, _, all in os.walk(root) for name in all]
        found = sorted(name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns))
        for name in found:
            with open(os.path.join(root, name), "rb") as file:
                whole.update(hashlib.sha256(file.read()).digest())
        return whole.hexdigest() if found else ""


def _equal(one, other):
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if type(one) is type(other):
        return one == other
    return _number(one) == _number(other)


def _number(value):
    try:
        return float(value if value not in (None, "") else 0)
    except (TypeError, ValueError):
        return float("nan")

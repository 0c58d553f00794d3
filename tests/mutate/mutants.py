# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Small ways to break a C file, found in its tokens."""
import re

TOKEN = re.compile(r"""
    (?P<skip>\s+|/\*.*?\*/|//[^\n]*|\\\n)
  | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<number>\.?\d[\w.]*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<op><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|[-+*/%&|^<>=!]=|&&|\|\||.)
""", re.VERBOSE | re.DOTALL)

DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)
DEFINE = re.compile(r"[ \t]*#[ \t]*define[ \t]+(\w+)")
INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)$")

# What an operator may become: where it stands between two operands, as the
# spaces say around it.
INFIX = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "&&": "||", "||": "&&",
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "/",
    "<<": ">>", ">>": "<<", "&": "|", "|": "&", "^": "|",
    "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "%=": "/=",
    "<<=": ">>=", ">>=": "<<=", "&=": "|=", "|=": "&=", "^=": "|=",
}
PREFIX = {"++": "--", "--": "++", "!": "", "~": ""}
WORDS = {"true": "false", "false": "true"}

KINDS = {
    "relation": "< <= > >= == !=",
    "logic": "&& || ! true false",
    "arithmetic": "+ - * / % += -= *= /= %= ++ --",
    "bits": "<< >> & | ^ ~ <<= >>= &= |= ^=",
}
KIND_OF = {op: kind for kind, ops in KINDS.items() for op in ops.split()}

ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "%=", "<<=", ">>=", "&=", "|=",
               "^=", "++", "--"}
JUMPS = {"return", "break", "continue", "goto"}
NO_EXPRESSION = JUMPS | {
    "if", "else", "for", "while", "do", "switch", "case", "default", "const",
    "static", "struct", "union", "enum", "unsigned", "signed", "void", "char",
    "int", "long", "short", "bool", "typedef", "extern", "inline", "volatile"}


class Token:
    __slots__ = ("kind", "text", "start", "end")

    def __init__(self, kind, text, start):
        self.kind = kind
        self.text = text
        self.start = start
        self.end = start + len(text)


class Mutant:
    """One place of a file, and what to put there."""

    def __init__(self, source, span, kind, start, end, text):
        self.source = source
        self.file = source.path
        self.kind = kind
        self.function, self.lines = span
        self.start = start
        self.end = end
        self.text = text
        first = source.text.rfind("\n", 0, start) + 1
        last = source.text.find("\n", end)
        last = len(source.text) if last < 0 else last
        self.old = " ".join(source.text[first:last].split())
        self.new = " ".join((source.text[first:start] + text
                             + source.text[end:last]).split())
        self.line = source.text.count("\n", 0, start) + 1
        self.nth = 1

    @property
    def key(self):
        """What it is, wherever its lines may move to."""
        return self.file, self.function, self.nth, self.old, self.new

    def __str__(self):
        nth = f"#{self.nth}" if self.nth > 1 else ""
        return (f"{self.file} {self.function}\n"
                f"- {self.old}\n+{nth} {self.new}\n")

    def apply(self):
        """The file with it."""
        text = self.source.text
        return text[:self.start] + self.text + text[self.end:]


def tokens_of(text, start, end):
    found = []
    while start < end:
        match = TOKEN.match(text, start, end)
        if match.lastgroup != "skip":
            found.append(Token(match.lastgroup, match.group(), start))
        start = match.end()
    return found


def matching(tokens, i, step):
    """Where the bracket at i is closed, or was opened."""
    depth = 0
    while 0 <= i < len(tokens):
        if tokens[i].text in ("(", "[", "{"):
            depth += step
        elif tokens[i].text in (")", "]", "}"):
            depth -= step
        if depth == 0:
            return i
        i += step
    return i


def target(assignment):
    return re.split(r"\W?\W?=|\+\+|--", assignment)[0].strip()


class Source:
    """A file, and all its mutants."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.mutants = []
        self.code = []
        at = 0
        for match in DIRECTIVE.finditer(text):
            self.code += tokens_of(text, at, match.start())
            define = DEFINE.match(match.group())
            if define:
                body = tokens_of(text, match.start() + define.end(),
                                 match.end())
                self.span = define.group(1), None
                self.operators(body)
            at = match.end()
        self.code += tokens_of(text, at, len(text))
        self.blocks()
        self.number()

    def blocks(self):
        """Functions, and what variables begin with."""
        code = self.code
        i = 0
        while i < len(code):
            if code[i].text != "{":
                i += 1
                continue
            end = matching(code, i, 1)
            name, is_function = self.name_before(i)
            if name is not None:
                lines = None
                if is_function:
                    lines = (self.text.count("\n", 0, code[i].start) + 1,
                             self.text.count("\n", 0, code[end].end) + 1)
                self.span = name, lines
                body = code[i + 1:end]
                self.operators(body)
                if is_function:
                    self.conditions(body)
                    self.statements(body)
            i = end + 1

    def name_before(self, i):
        code = self.code
        last = code[i - 1].text if i > 0 else ""
        if last == ")":
            i = matching(code, i - 1, -1) - 1
            if code[i].text == ")":  # NAME(x)(...)
                i -= 1
            return code[i].text, True
        if last == "=":
            i -= 2
            while code[i].text == "]":
                i = matching(code, i, -1) - 1
            return code[i].text, False
        return None, False

    def add(self, kind, start, end, text):
        self.mutants.append(Mutant(self, self.span, kind, start, end, text))

    def spaced(self, token):
        return self.text[token.start - 1].isspace() and \
            self.text[token.end].isspace()

    def operators(self, body):
        for token in body:
            if token.kind == "number":
                self.constant(token)
            elif token.text in WORDS:
                self.add("logic", token.start, token.end, WORDS[token.text])
            elif token.kind != "op":
                continue
            elif token.text in INFIX and self.spaced(token):
                self.add(KIND_OF[token.text], token.start, token.end,
                         INFIX[token.text])
            elif token.text in PREFIX:
                self.add(KIND_OF[token.text], token.start, token.end,
                         PREFIX[token.text])

    def constant(self, token):
        match = INTEGER.match(token.text)
        if match:
            digits, suffix = match.groups()
            value = int(digits, 0) if digits[1:2] in "xX" else int(digits)
            form = "0x{:x}" if digits[1:2] in ("x", "X") else "{}"
            for other in (value + 1, value - 1):
                if other >= 0:
                    self.add("constant", token.start, token.end,
                             form.format(other) + suffix)

    def conditions(self, body):
        for i, token in enumerate(body[:-1]):
            if token.text not in ("if", "while") or body[i + 1].text != "(":
                continue
            start = body[i + 1].start
            end = body[matching(body, i + 1, 1)].end
            whole = self.text[start:end]
            self.add("condition", start, end, f"(!{whole})")
            if token.text == "if":
                self.add("condition", start, end, f"(false && {whole})")
                self.add("condition", start, end, f"(true || {whole})")

    def statements(self, body):
        before = None  # the expression that is a statement just before
        depth = 0
        nested = 0
        begins = True
        for i, token in enumerate(body):
            if begins and depth == 0:
                end = self.statement_end(body, i)
                now = None
                if end is not None and self.is_expression(body[i:end]):
                    now = (token.start, body[end].end)
                    self.expression(body[i:end + 1])
                    if before is not None:
                        self.swap(before, now)
                elif end is not None and token.text in JUMPS:
                    self.jump(body[i:end + 1], nested)
                before = now
            if token.text in ("(", "["):
                depth += 1
            elif token.text in (")", "]"):
                depth -= 1
            nested += (token.text == "{") - (token.text == "}")
            ends = token.text in (";", "{", "}")
            if ends and token.text != ";":
                before = None
            begins = ends or (token.text == ":" and self.is_label(body, i))

    @staticmethod
    def is_label(body, i):
        while i > 0 and body[i - 1].text not in (";", "{", "}", "?"):
            i -= 1
        return body[i].text in ("case", "default") or body[i + 1].text == ":"

    @staticmethod
    def statement_end(body, i):
        depth = 0
        for end in range(i, len(body)):
            text = body[end].text
            if text in ("(", "["):
                depth += 1
            elif text in (")", "]"):
                depth -= 1
            elif depth == 0 and text == ";":
                return end
            elif depth == 0 and text in ("{", "}"):
                return None
        return None

    @staticmethod
    def is_expression(tokens):
        if len(tokens) < 2 or tokens[0].text in NO_EXPRESSION:
            return False
        if tokens[0].kind != "name":
            return tokens[0].text in ("*", "(", "++", "--")
        # Not a declaration: type name, or type *name.
        return tokens[1].kind != "name" and not (
            tokens[1].text == "*" and tokens[1].end == tokens[2].start)

    def expression(self, tokens):
        depth = 0
        kind = "call"
        for token in tokens:
            depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
            if depth == 0 and token.text in ASSIGNMENTS:
                kind = "assignment"
        self.add(kind, tokens[0].start, tokens[-1].end, ";")

    def jump(self, tokens, nested):
        if nested > 0:  # not the last of a function
            self.add("jump", tokens[0].start, tokens[-1].end, ";")
        if tokens[0].text == "return" and len(tokens) == 3 and \
                tokens[1].text.startswith("WEIR_E"):
            self.add("jump", tokens[1].start, tokens[1].end, "WEIR_OK")

    def swap(self, one, two):
        """Unless it cannot matter: neither calls anything, nor names what the
        other assigns to."""
        first = self.text[one[0]:one[1]]
        second = self.text[two[0]:two[1]]
        if "(" in first + second or \
                target(first) in second or target(second) in first:
            self.add("order", one[0], two[1],
                     second + self.text[one[1]:two[0]] + first)

    def number(self):
        seen = {}
        for mutant in sorted(self.mutants, key=lambda m: m.start):
            key = mutant.key
            seen[key] = seen.get(key, 0) + 1
            mutant.nth = seen[key]

r"""The same rules for Spark: patterns in Java's spelling, and DuckDB's SQL in Spark's.

What goes here: turning what `redaction.py` and `signatures.py` hold into text for Spark SQL. What does not: any rule, mask or sum of its own, running it
(`storage/spark_job.py`).

The patterns are written in what RE2 and Java share, but the two read some of it differently; `java` spells out what RE2 means:

- `.`, `^` and `$` know one line end, `\n` (Java's `d` flag); `$` without `m` is the very end of the text, not before a last line end (`\z`);
- `\b`, `\s`, `\w`, `\d` are ASCII (Java 17's `\b` is not, and its `\s` has the vertical tab);
- `(?i)` folds as Unicode's simple folding does: letters become classes (Java's own flag folds ASCII alone, or else also the dotless i);
- `[`, `&` and `#` within a class are themselves (in Java they nest, intersect and, with a flag, comment), and so is `{` that repeats nothing.

Both take the leftmost match and, of alternatives, the first. Java's engine goes back and forth where RE2 does not: `LINEAR` holds other spellings for masks that would
take cubic time, and `MAX_REDACTED_CHARS` bounds what it is given.
"""

import re
from collections.abc import Callable, Sequence
from itertools import groupby

from fl_assets.domain.redaction import RULES, Rule
from fl_assets.domain.signatures import MASKS

MAX_REDACTED_CHARS = 4096
"""Longest text that Java's engine is given: it recurses for some loops, and takes quadratic time for hostile texts. RE2 reads longer ones, by the same rules."""

# Patterns ---------------------------------------------------------------------------------------------------------------

_WORD = "0-9A-Za-z_"
_SETS = {"s": r"\t\n\f\r ", "d": "0-9", "w": _WORD}
_BOUNDARY = f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))"
_FOLDED = {"k": "kK\u212a", "s": "sS\u017f"}
_TOKEN = re.compile(r"\\[pP]\{\w+\}|\\.|\{[0-9]+(?:,[0-9]*)?\}|\(\?:|\[\^?|.", re.DOTALL)
_ITEM = re.compile(r"(\\[pP]\{\w+\}|\\.|[^\\])(?:-(\\.|[^\]\\]))?", re.DOTALL)


class PatternError(ValueError):
    """A pattern that RE2 and Java do not share; the text names it and what is wrong."""


def java(pattern: str) -> str:
    """Return a pattern of ours so that Java finds with it what RE2 finds with the original.

    Raises:
        PatternError: it holds something that is not known to mean the same in both.
    """
    flags = re.match(r"\(\?([ims]+)\)", pattern)
    body, names = (pattern[flags.end() :], flags.group(1)) if flags else (pattern, "")
    at, out = 0, [f"(?d{names.replace('i', '')})"]
    fold = "i" in names
    while at < len(body):
        match = _TOKEN.match(body, at)
        token = match.group() if match else ""
        at += len(token)
        if token in ("[", "[^"):
            inner, at = _class(body, at, fold)
            out.append(f"{token}{inner}]")
        elif token == "(" and body.startswith("?", at):
            raise PatternError(f"{pattern!r}: (?{body[at + 1]} is not in what RE2 and Java share; write it without")
        elif token == "$":
            out.append("$" if "m" in names else r"\z")
        elif token in ("{", "}", "]"):
            out.append("\\" + token)
        elif token.startswith("\\"):
            out.append(_escape(token, pattern))
        elif fold and token.isalpha():
            out.append(f"[{_fold(token)}]")
        else:
            out.append(token)
    return "".join(out)


def _escape(token: str, pattern: str) -> str:
    letter = token[1]
    if letter.lower() in _SETS:
        return f"[{'^' if letter.isupper() else ''}{_SETS[letter.lower()]}]"
    if letter == "b":
        return _BOUNDARY
    if letter.isalnum() and letter not in "nrtfpPxz":
        raise PatternError(f"{pattern!r}: {token} is not known to mean the same to RE2 and Java; write it as a class or a literal")
    return token


def _class(body: str, at: int, fold: bool) -> tuple[str, int]:
    """Return the inside of a class that begins at `at`, in Java's spelling, and where the pattern goes on after it."""
    out, begin = [], at
    while body[at] != "]" or at == begin:
        match = _ITEM.match(body, at)
        if not match or body.startswith("[:", at):
            raise PatternError(f"{body!r}: the class at {begin} is not closed or names a POSIX class; write its characters")
        low, high = match.groups()
        at = match.end()
        if low[0] == "\\" and low[1].lower() in (*_SETS, "p"):
            if high or low[1] in "SDW":
                raise PatternError(f"{body!r}: {low} in a class is not in what RE2 and Java share here; write its characters")
            out.append(low if low[1] in "pP" else _SETS[low[1]])
            continue
        out.append(_quoted(low) + (f"-{_quoted(high)}" if high else ""))
        if fold:
            out.append(_fold_range(low, high or low))
    return "".join(out), at + 1


def _quoted(char: str) -> str:
    return "\\" + char if char in "[]&^-#~" else char


def _fold(letter: str) -> str:
    return _FOLDED.get(letter.lower(), letter.lower() + letter.upper())


def _fold_range(low: str, high: str) -> str:
    """Return what case adds to a range of a class."""
    letters = {chr(code) for code in range(ord(low[-1]), ord(high[-1]) + 1) if chr(code).isascii() and chr(code).isalpha()} if low[0] != "\\" else set()
    return "".join(sorted({other for letter in letters for other in _fold(letter)}))


_IDS = next(pattern for pattern, by in MASKS if by == "<ID>" and pattern.startswith("[^"))
_PIECE = java(_IDS.partition("]*")[0] + "]")
LINEAR = {_IDS: f"(?<!{_PIECE})(?={_PIECE}*0)(?={_PIECE}*[A-Za-z_\\\\]){_PIECE}+".replace("(?d)", "")}
"""Masks that Java's engine would take cubic time for, in a form for which it does not: of a run of pieces with a digit and a letter, all."""


# Statements -------------------------------------------------------------------------------------------------------------


def literal(text: str) -> str:
    """Quote one of our own constants for Spark SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class _Text:
    """A literal of a statement; a function may spell it anew before it is written."""

    def __init__(self, token: str) -> None:
        self.text = token[1:-1].replace("''", "'")

    def __str__(self) -> str:
        return literal(self.text)


_Node = str | _Text


def _pattern(node: _Node) -> str:
    if not isinstance(node, _Text):
        raise PatternError(f"{node!r}: a pattern must be a literal, since it is spelt anew for Java")
    return literal(LINEAR.get(node.text) or java(node.text))


def _template(node: _Node) -> str:
    return literal(re.sub(r"\\([0-9])", r"$\1", str(getattr(node, "text", node)).replace("$", r"\$")))


def _trim(text: _Node, chars: _Node = "") -> str:
    blanks = r"^\p{Zs}+|\p{Zs}+\z"  # what DuckDB's `trim` takes for blanks
    return f"btrim({text}, {chars})" if chars else f"regexp_replace({text}, {literal(blanks)}, '')"


def _smallest(value: _Node, by: _Node, count: _Node) -> str:
    pairs = f"array_sort(collect_list(struct({by} as k, {value} as v)) filter (where {by} is not null))"
    return f"transform(slice({pairs}, 1, {count}), e -> e.v)"


def _histogram(keys: _Node, counts: _Node) -> str:
    """A map from two lists in the order of the first, or an empty one."""
    names = re.fullmatch(r"list\((\w+) order by (\w+)\) list\((\w+) order by \2\)", f"{keys} {counts}")
    return f"map_from_entries(array_sort(collect_list(struct({names[1]}, {names[3]}))))" if names else "cast(map() as map<int, bigint>)"


def _json_strings(column: _Node, paths: _Node) -> str:
    keys = re.findall(r"\$\.\"?([\w.]+)\"?", str(paths))
    return f"array({', '.join(f'get_json_object({column}, {literal(_path(key))})' for key in keys)})"


def _path(key: str) -> str:
    return f"$['{key}']"


_FUNCTIONS: dict[str, Callable[..., str]] = {
    "regexp_replace": lambda text, pattern, by, _: f"regexp_replace({text}, {_pattern(pattern)}, {_template(by)})",
    "regexp_matches": lambda text, pattern: f"regexp_like({text}, {_pattern(pattern)})",
    "regexp_extract": lambda text, pattern, group="0": f"regexp_extract({text}, {_pattern(pattern)}, {group})",
    "regexp_extract_all": lambda text, pattern, group: f"regexp_extract_all({text}, {_pattern(pattern)}, {group})",
    "starts_with": lambda text, start: f"startswith({text}, {start})",
    "list_transform": lambda values, body: f"transform({values}, {body})",
    "json_extract_string": _json_strings,
    "trim": _trim,
    "arg_min": _smallest,
    "map": _histogram,
}
_SAME = {
    "coalesce",
    "nullif",
    "count",
    "sum",
    "min",
    "max",
    "md5",
    "translate",
    "left",
    "right",
    "length",
    "substr",
    "contains",
    "replace",
    "chr",
    "ln",
    "ceil",
    "greatest",
    "least",
    "list",
}
_WORDS = {
    "as",
    "in",
    "and",
    "or",
    "not",
    "when",
    "then",
    "else",
    "case",
    "from",
    "with",
    "using",
    "filter",
    "where",
    "by",
    "on",
    "select",
    "over",
    "except",
    "materialized",
}
_LEXER = re.compile(r"\s+|'(?:[^']|'')*'|[A-Za-z_]\w*|[0-9]+(?:\.[0-9]+)?|\|\||<=|>=|<>|::|.", re.DOTALL)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def spark_sql(sql: str) -> str:
    """Return a statement of ours, written for DuckDB, as Spark reads it.

    Raises:
        PatternError: a pattern that Java cannot share.
        KeyError: a function that is not known here; say in `_FUNCTIONS` what it is in Spark.
    """
    tokens = [token for token in _LEXER.findall(sql) if not token.isspace()]
    parts, _ = _read(tokens, 0, "")
    return ", ".join(str(_one(part)) for part in parts)


def _read(tokens: Sequence[str], at: int, end: str) -> tuple[list[list[_Node]], int]:
    """Return what stands up to `end`, divided at commas, and the place after it."""
    parts: list[list[_Node]] = [[]]
    while at < len(tokens):
        token, at = tokens[at], at + 1
        held = parts[-1]
        if token == end:
            break
        if token == ",":
            parts.append([])
        elif token in _PAIRS:
            inner, at = _read(tokens, at, _PAIRS[token])
            held.append(_grouped(held, token, inner))
        elif token == "lambda":
            held.append(f"{tokens[at]} ->")
            at += 2  # the name and its colon
        elif token == "exclude":
            held.append("except")
        elif token.startswith("'"):
            held.append(_Text(token))
        elif token != "materialized":
            held.append(token)
    return parts, at


def _grouped(held: list[_Node], opened: str, inner: list[list[_Node]]) -> str:
    """Return a call, an index, a list, a struct or something in parentheses; what it is of is taken from `held`."""
    before = str(held[-1]) if held and not isinstance(held[-1], _Text) else ""
    is_name = bool(re.fullmatch(r"[A-Za-z_]\w*", before)) and before not in _WORDS
    values = [_one(part) for part in inner if part]
    listed = ", ".join(str(value) for value in values)
    if opened == "(" and is_name:
        name = str(held.pop())
        if name in _SAME:
            return f"{name}({listed})"
        return _FUNCTIONS[name](*values)
    if opened == "[" and (is_name or before.endswith((")", "]"))):
        return f"try_element_at({held.pop()}, {listed})"
    if opened == "[":
        return f"array({listed})"
    if opened == "{":
        return f"named_struct({', '.join(f'{part[0]}, {_one(part[2:])}' for part in inner)})"
    return f"({listed})"


def _one(part: Sequence[_Node]) -> _Node:
    return part[0] if len(part) == 1 else " ".join(str(node) for node in part)


# Redaction --------------------------------------------------------------------------------------------------------------

_MARKS = "\x02\x03\x04\x05"
_MARKED = "\x02$1\x03$2\x04$3\x05"


def redacted_sql(column: str, rules: Sequence[Rule] = RULES) -> str:
    """Return an expression for a text as `redact` leaves it, or null where no rule has to do with it.

    Folds over the numbers of the steps, since expressions nested in each other would be copied into each other.
    """
    hints = list(dict.fromkeys(rule.hint for rule in rules))
    groups = [(hint, [step for rule in group for step in _steps(rule)]) for hint, group in groupby(rules, lambda rule: rule.hint)]
    steps = [lambda text, hint=hint, inner=inner: f"case when {_has(text, hint)} then {_folded(text, inner, 'u')} else {text} end" for hint, inner in groups]
    return f"case when {' or '.join(_has(column, hint) for hint in hints)} then {_folded(f'translate({column}, {literal(_MARKS)}, {literal(4 * chr(32))})', steps, 't')} end"


def _folded(text: str, steps: Sequence[Callable[[str], str]], name: str) -> str:
    """Return an expression that applies steps to a text in turn."""
    cases = " ".join(f"when {number} then {step(name)}" for number, step in enumerate(steps))
    numbers = ", ".join(str(number) for number in range(len(steps)))
    return f"aggregate(array({numbers}), {text}, ({name}, {name}_step) -> case {name}_step {cases} else {name} end)"


def _has(column: str, hint: str) -> str:
    return f"regexp_like({column}, {literal(java(hint))})"


def _replaced(text: str, pattern: str, by: str) -> str:
    return f"regexp_replace({text}, {literal(java(pattern))}, {literal(by)})"


def _steps(rule: Rule) -> list[Callable[[str], str]]:
    """Return what a rule does to a text: find and replace, or else mark, and then unmark, check and mask."""
    if rule.is_plain:
        return [lambda text: _replaced(text, rule.find, f"$1<{rule.entity}>$3")]

    def judged(text: str) -> str:
        kept = _replaced(text, rule.unmark, "$1") if rule.unmark else text
        if rule.check:
            value = f"regexp_replace(split_part(split_part(p, {literal(_MARKS[1])}, 2), {literal(_MARKS[2])}, 1), '[^0-9A-Za-z]', '')"
            holds = _luhn_sql(value) if rule.check == "luhn" else _iban_sql(value)
            mark = literal(_MARKS[0])
            kept = f"array_join(transform(split({kept}, {mark}), (p, i) -> case when i = 0 then p when {holds} then concat({mark}, p) else p end), '')"
        masked = f"translate({_replaced(kept, rule.mask, f'$1<{rule.entity}>$2')}, {literal(_MARKS)}, '')"
        return f"case when contains({text}, {literal(_MARKS[0])}) then {masked} else {text} end"

    return [lambda text: _replaced(text, rule.find, _MARKED), judged]


def _luhn_sql(digits: str) -> str:
    doubled = "case when j % 2 = 1 then case when c > '4' then cast(c as int) * 2 - 9 else cast(c as int) * 2 end else cast(c as int) end"
    return f"aggregate(transform(split(reverse({digits}), ''), (c, j) -> {doubled}), 0, (a, b) -> a + b) % 10 = 0"


def _iban_sql(value: str) -> str:
    turned = f"transform(array({value}), v -> upper(concat(substr(v, 5), left(v, 4))))[0]"
    values = f"transform(split({turned}, ''), c -> case when c <= '9' then ascii(c) - 48 else ascii(c) - 55 end)"
    return f"aggregate({values}, 0, (a, b) -> (a * case when b > 9 then 100 else 10 end + b) % 97) = 1"

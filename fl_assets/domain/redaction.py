"""What counts as personal data or a secret, and how it is masked: one ordered list of rules for Python and SQL.

What goes here: the rules, `redact` in Python, the same as DuckDB SQL, pseudonyms for ids, and `residue` for the check `no_personal_data`.
What does not: reading or storing text (`storage/duckdb_engine.py`), person names and addresses (`storage/pii_names.py`), masking of numbers and
paths for grouping (`signatures.py`).

How a rule works. `find` has three groups: what stays before, the value, what stays after. Rules run in order, each over the whole text. A match of a
rule with a condition (`need`, `keep`, `alone`, `check`) is judged by itself, so that Luhn or mod 97 can refuse it. Patterns are written in the subset
that RE2, Python's `re` and Java share, since the same list must give the same text in DuckDB, here and in Spark:
no lookaround, no `\\b`, `\\d`, `\\w`, `\\s`, no case flag (RE2 folds `K`, the Kelvin sign, Python does not), no `$` without an alternative that takes a newline.
Each pattern starts at a literal or at a boundary and repeats are bounded where Python would otherwise go quadratic.

The checksums are those of ISO/IEC 7812-1 (Luhn) and ISO 13616 (IBAN, mod 97-10).
"""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

UNREDACTABLE = "<UNREDACTABLE>"
"""What a value becomes when a rule crashes on it."""

KEY_SEPARATOR, ITEM_SEPARATOR = "\x1e", "\x1f"
"""Between a key and its value, and between entries, while a map is redacted as one text; no rule reaches across an ITEM_SEPARATOR."""


def _any_case(words: str) -> str:
    """Return a pattern in which every letter matches in both cases; classes and escapes must not hold letters."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in words)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to mask.

    A match is masked when `need` is found in it, `keep` is not, the third group is empty if it must stand `alone`, and the `check` holds for its digits.
    """

    entity: str
    find: str
    need: str = ""
    keep: str = ""
    alone: bool = False
    check: Literal["", "luhn", "iban"] = ""

    @property
    def is_plain(self) -> bool:
        """Whether every match is masked."""
        return not (self.need or self.keep or self.alone or self.check)

    @property
    def template(self) -> str:
        """The replacement, as RE2, Python and DuckDB write it."""
        return rf"\1<{self.entity}>\3"


# Building blocks ------------------------------------------------------------------------------------------------------

_W = "0-9A-Za-z_"
_EDGE = f"(^|[^{_W}])"
_KEY_EDGE = "(^|[^0-9A-Za-z_-])"
_BLANK = "[ \t\r\n]"
_LETTERS = "À-ÖØ-öø-ɏͰ-ԯ"
_HEX = "[0-9A-Fa-f]"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NOISE = _any_case("(?:order|ref|reference|invoice|part|sku|ticket|item|serial|model|isbn|tracking|case|build|version|id|no|number|po|lot|batch)")

# Secrets by their own form --------------------------------------------------------------------------------------------

_KEYS = (
    "(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ANVA|AIPA|ABIA|ACCA)[0-9A-Z]{16}",
    "AIza[0-9A-Za-z_-]{30,}",
    "ya29[.][0-9A-Za-z_-]{20,}",
    "GOCSPX-[0-9A-Za-z_-]{20,}",
    "gh[pousr]_[0-9A-Za-z]{30,}",
    "github_pat_[0-9A-Za-z_]{22,}",
    "gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt)-[0-9A-Za-z_.-]{16,}",
    "(?:hf|api_org)_[0-9A-Za-z]{30,}",
    "sk-(?:ant|proj|svcacct|admin|or|lf|live|test|None)-[0-9A-Za-z_-]{16,}",
    "sk-[0-9A-Za-z]{20,}",
    "pk-lf-[0-9A-Za-z-]{16,}",
    "xox[a-z]-[0-9A-Za-z-]{10,}",
    "xapp-[0-9]-[0-9A-Za-z-]{10,}",
    "(?:sk|rk|pk|whsec)_(?:live|test|prod)_[0-9A-Za-z]{10,}",
    "whsec_[0-9A-Za-z+/=]{20,}",
    "SG[.][0-9A-Za-z_-]{16,}[.][0-9A-Za-z_-]{16,}",
    "(?:SK|AC)[0-9a-f]{32}",
    "key-[0-9a-f]{32}",
    "[0-9a-f]{32}-us[0-9]{1,2}",
    "npm_[0-9A-Za-z]{30,}",
    "pypi-[0-9A-Za-z_-]{30,}",
    "dckr_(?:pat|oat)_[0-9A-Za-z_-]{20,}",
    "do[opr]_v1_[0-9a-f]{40,}",
    "(?:shpat|shpss|shpca|shppa)_[0-9A-Fa-f]{32}",
    "sq0[a-z]{3}-[0-9A-Za-z_-]{22,}",
    "dapi[0-9a-f]{32}(?:-[0-9])?",
    "(?:lin_api|ntn|secret|lsv2_pt|lsv2_sk|pcsk|gsk|glsa|glc|sntrys|sntryu|sbp|sb_secret|rzp_live|rzp_test|figd|fo1|nfp|pscale_tkn|pscale_pw|rubygems|sqp|squ"
    "|sqa|rdme|bkua|CCIPAT|ovsxp|ico|pnu|tfp|aio|fw|re|r8|phc|phx|xkeysib|dp[.]pt|dp[.]st|shippo_live|access_token)_[0-9A-Za-z_-]{20,}",
    "(?:pplx|xai|tvly|nvapi|csk|NRAK|PMAK|pul|CFPAT|xkeysib|tskey|sl|ATCTT3|HRKU|AGE-SECRET-KEY|pat-na1|pat-eu1|prod-sec)-[0-9A-Za-z_-]{20,}",
    "(?:ATATT3|ATBB|EAAA|LTAI|AKID|AKCp|FlyV1)[0-9A-Za-z_=-]{16,}",
    "hv[sb][.][0-9A-Za-z_-]{20,}",
    "[0-9]{8,10}:AA[0-9A-Za-z_-]{32,}",
)

# Secrets by the word before them --------------------------------------------------------------------------------------

_ASSIGN = f"{_BLANK}*(?:=>|:=|[:=\x1e]){_BLANK}*"
_QUOTE_END = "(?:\\\\{0,7}[\"'])?"
_PASSWORD_WORD = _any_case("(?:password|passwd|passphrase|passcode|pwd|db_pass|_pass|user_pass)")
_SECRET_WORD = _any_case(
    "(?:secret|api[_ -]?key|access[_-]?key|secret[_-]?key|secret[_-]?access[_-]?key|private[_-]?key|account[_-]?key|shared[_-]?access[_-]?key"
    "|signing[_-]?key|encryption[_-]?key|credentials?|[a-z]{0,12}[_-]?token)"
).replace("[[Aa]-[Zz]]", "[A-Za-z]")
_NOT_A_VALUE = _any_case(
    "(?:none|null|nil|true|false|undefined|empty|required|missing|invalid|incorrect|wrong|expired|string|str|secretstr|optional|not|is|must|cannot|can|was|has"
    "|does|should|unset|redacted|hidden|masked|removed|yes|no|and|or|the|for|field|value|input|reset|changed?|failed|error|auth|mismatch|unauthorized|bearer|basic)"
)
_PLACEHOLDER = f"(?:[<$%{{*(\\[]|[xX]{{3,}}|[.]{{3}}|os[.]|process[.]|self[.]|env[.]|get|settings[.]|config[.]|request[.]|args[.]|{_NOT_A_VALUE}[.,;:!)]*(?:[^{_W}.,;:!)]|$))"
_SECRET_VALUE_START = f"{_ASSIGN}(?:\\\\{{0,7}}[\"'])?"

_EMAIL_CHAR = f"0-9A-Za-z{_LETTERS}._+~!#^{{}}-"
_DOMAIN_CHAR = f"0-9A-Za-z{_LETTERS}-"

RULES: tuple[Rule, ...] = (
    Rule(
        "PEM",
        "()(-----BEGIN [A-Z0-9 ]{3,40}-----(?:[ \t\r\n]|\\\\{1,4}[rn])*[0-9A-Za-z+/=:,.\\\\ \t\r\n-]{16,}(?:-----END [A-Z0-9 ]{3,40}-----)?)()",
    ),
    Rule("JWT", "(^|[^0-9A-Za-z_-])(eyJ[0-9A-Za-z_-]{8,}[.][0-9A-Za-z_-]{8,}(?:[.][0-9A-Za-z_-]*){0,3})()"),
    Rule("API_KEY", f"{_KEY_EDGE}({'|'.join(_KEYS)})()"),
    Rule("API_KEY", "(hooks[.]slack[.]com/(?:services|workflows)/)([0-9A-Za-z_/-]{20,})()"),
    Rule(
        "URL_CREDENTIALS",
        "(://)([^ \t\r\n/?#\"'<>@\\\\\x1e\x1f]*:[^ \t\r\n/?#\"'<>\\\\\x1e\x1f]*)(@)",
        keep="^://[^:]*:(?:[*]+|[xX]{3,}|[$%{].*)@$",
    ),
    Rule("BEARER_TOKEN", f"({_any_case('bearer')}(?:[ \t]|%20){{1,3}})([0-9A-Za-z._~+/=-]{{8,}})()", need="[0-9].*[A-Za-z]|[A-Za-z].*[0-9]|[A-Za-z]{24}"),
    Rule("BASIC_AUTH", f"({_any_case('basic')}(?:[ \t]|%20){{1,3}})([0-9A-Za-z+/]{{8,}}={{0,2}})()", need="[0-9=]|[A-Z][a-z]+[A-Z][a-z]*[A-Z]"),
    # quoted: "password": "x", password='x', also within JSON that is itself a string
    Rule(
        "PASSWORD",
        f"({_PASSWORD_WORD}{_QUOTE_END}{_ASSIGN}\")((?:[^\"\\\\\x1e\x1f]|\\\\[^\x1e\x1f]){{1,256}})(\")",
        keep=f"\"{_PLACEHOLDER}",
    ),
    Rule("PASSWORD", f"({_PASSWORD_WORD}{_QUOTE_END}{_ASSIGN}')([^'\x1e\x1f]{{1,256}})(')", keep=f"'{_PLACEHOLDER}"),
    Rule("PASSWORD", f"({_PASSWORD_WORD}{_QUOTE_END}{_ASSIGN}\\\\{{1,7}}[\"'])([^\"'\\\\\x1e\x1f]{{1,256}})()", keep=f"[\"']{_PLACEHOLDER}"),
    Rule("PASSWORD", f"({_PASSWORD_WORD}{_QUOTE_END}{_ASSIGN})([^ \t\r\n\"'\\\\,;&\x1e\x1f]{{1,256}})()", keep=f"[=:>\x1e ]{_PLACEHOLDER}"),
    Rule("PASSWORD", f"(--(?:{_PASSWORD_WORD})[ ]+[\"']?)([^ \t\r\n\"'\x1e\x1f-][^ \t\r\n\"'\x1e\x1f]{{0,255}})()", keep=f"[ \"']{_PLACEHOLDER}"),
    Rule(
        "API_KEY",
        f"({_EDGE[1:-1].join(('(?:', ')'))}(?:[0-9A-Za-z]{{1,24}}[_.-]){{0,3}}{_SECRET_WORD}{_QUOTE_END}{_SECRET_VALUE_START})([0-9A-Za-z_.~+/=-]{{12,}})()",
        need="[0-9].*[A-Za-z]|[A-Za-z].*[0-9]",
        keep=f"[=:>\x1e \"']{_PLACEHOLDER}",
    ),
    Rule("EMAIL", f"(^|[^{_EMAIL_CHAR}])([{_EMAIL_CHAR}]+(?:'[{_EMAIL_CHAR}]+){{0,2}}(?:@|%40)[{_DOMAIN_CHAR}]+(?:[.][{_DOMAIN_CHAR}]+)*[.][A-Za-z{_LETTERS}]{{2,24}})([(]?)",
        keep="git@|@[0-9]x[.]|[(]$|[.](?:png|jpe?g|gif|svg|webp|js|json|css|html|xml|ya?ml|txt|log|service|socket|timer|target|slice)$",
    ),
    Rule(
        "HOME_USER",
        "((?:^|[^0-9A-Za-z_.-]|/(?:export|var|usr|mnt/[a-z]|[a-z]|data|nfs|net))/(?:home|Users)/)([0-9A-Za-z_.@-]+)()",
        keep="/(?:Shared|Public|Default|linuxbrew)$|[.](?:html?|php|aspx|jsp)$|/[.]+$",
    ),
    Rule(
        "HOME_USER",
        f"([A-Za-z]:[\\\\/]{{1,8}}(?:{_any_case('users')}|Documents and Settings)[\\\\/]{{1,8}})([^\\\\/:*?\"<>| \t\r\n\x1e\x1f]+(?: [^\\\\/:*?\"<>| \t\r\n\x1e\x1f]+){{0,2}}[\\\\/]|[^\\\\/:*?\"<>| \t\r\n\x1e\x1f]+)()",
        keep="[\\\\/](?:Public|Default|All Users)[\\\\/]?$",
    ),
    Rule("IBAN", f"{_EDGE}([A-Za-z]{{2}}[0-9]{{2}}(?:[ -]?[0-9A-Za-z]){{11,30}})([{_W}]*)", alone=True, check="iban"),
    Rule("CARD", f"(^|[^{_W}.])([0-9]{{4}}[ -]?[0-9]{{4,6}}[ -]?[0-9]{{4,5}}(?:[ -]?[0-9]{{1,4}}){{0,2}})((?:[.]?[{_W}])*)", alone=True, check="luhn", need=f"^[^{_W}]?(?:[3456]|2[2-7])"),
    Rule("SSN", f"(^|[^{_W}.-])([0-9]{{3}}[- ][0-9]{{2}}[- ][0-9]{{4}})((?:[.-]?[{_W}])*)", alone=True, keep=f"^[^{_W}]?(?:000|666|9)|[- ]00[- ]|0000$"),
    Rule("MAC", f"(^|[^{_W}:-])({_HEX}{{2}}(?:(?::{_HEX}{{2}}){{5}}|(?:-{_HEX}{{2}}){{5}})|{_HEX}{{4}}[.]{_HEX}{{4}}[.]{_HEX}{{4}})((?:[.:-]?[{_W}])*)", alone=True),
    Rule(
        "IPV6",
        f"(^|[0-9A-Za-z_)\\]]\\[|[^{_W}])((?:(?:{_HEX}{{0,4}}:){{2,7}}{_HEX}{{1,4}}(?:[.][0-9]{{1,3}}){{0,3}}|(?:{_HEX}{{1,4}}:){{1,7}}:)(?:%[0-9A-Za-z_.-]+)?)((?:[.:]?[{_W}])*)",
        need=f"^[^{_W}]?(?:(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}|(?:{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}})?::(?:{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}})?(?:(?::|::){_OCTET})?(?:[.]{_OCTET}){{0,3}})(?:%|$)",
        keep="^[^0-9A-Fa-f]?[A-Za-z]?::[A-Za-z]*$",
        alone=True,
    ),
    Rule(
        "IPV4",
        f"((?:(?:{_any_case('version|release|ver|v')})[ .:=]{{1,2}}|(?:^|[^{_W}.])[A-Za-z]+/)?(?:^|[^{_W}.]))?({_OCTET}(?:[.]{_OCTET}){{3}})((?:[.-]?[{_W}])*)",
        keep=f"^{_any_case('v')}",
        alone=True,
    ),
    Rule("PHONE", f"(^|[^{_W}+.])((?:[+]|00)[1-9][0-9]{{0,2}}(?:[ .-]?[(]?[0-9]{{1,4}}[)]?){{2,6}}(?:[ ,]*(?:x|ext[.]?)[ ]?[0-9]{{1,6}})?)([{_W}]*)", alone=True, need="[0-9](?:[^0-9]*[0-9]){7}"),
    Rule("PHONE", f"(^|[^{_W}.+-])((?:1[ .-])?(?:[(][0-9]{{3}}[)][ .-]?|[0-9]{{3}}[ .-])[0-9]{{3}}[ .-][0-9]{{4}}(?:[ ,]*(?:x|ext[.]?)[ ]?[0-9]{{1,6}})?)((?:[.-]?[{_W}])*)", alone=True),
)
ENTITIES: tuple[str, ...] = tuple(dict.fromkeys(rule.entity for rule in RULES))
"""Every entity, in the order of its first rule."""

# Python ---------------------------------------------------------------------------------------------------------------

_COMPILED = tuple((rule, re.compile(rule.find), re.compile(rule.need), re.compile(rule.keep) if rule.keep else None) for rule in RULES)
_NOT_ALNUM = re.compile("[^0-9A-Za-z]")


def luhn_holds(digits: str) -> bool:
    """Tell whether a string of decimal digits carries a valid Luhn check digit."""
    doubled = [int(c) if i % 2 == 0 else (int(c) * 2 - 9 if c > "4" else int(c) * 2) for i, c in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def iban_holds(iban: str) -> bool:
    """Tell whether letters and digits, in any case, form an account number whose remainder by 97 is 1."""
    remainder = 0
    for c in (iban[4:] + iban[:4]).upper():
        value = ord(c) - 48 if c <= "9" else ord(c) - 55
        remainder = (remainder * (100 if value > 9 else 10) + value) % 97
    return remainder == 1


def _apply(rule: Rule, find: re.Pattern[str], need: re.Pattern[str], keep: re.Pattern[str] | None, text: str) -> str:
    if rule.is_plain:
        return find.sub(rule.template, text)

    def judge(match: re.Match[str]) -> str:
        # The match is looked at as a text of its own, as SQL must do.
        found = match.group()
        if not need.search(found) or (keep and keep.search(found)):
            return found
        own = find.search(found)
        if own is None or (rule.alone and own.group(3)):
            return found
        value = _NOT_ALNUM.sub("", own.group(2))
        if (rule.check == "luhn" and not luhn_holds(value)) or (rule.check == "iban" and not iban_holds(value)):
            return found
        return find.sub(rule.template, found)

    return find.sub(judge, text)


def redact(text: str) -> str:
    """Return `text` with every entity replaced by its placeholder, e.g. `<EMAIL>`; `<UNREDACTABLE>` if a rule crashes on it."""
    try:
        for rule, find, need, keep in _COMPILED:
            text = _apply(rule, find, need, keep, text)
    except Exception:  # fails closed: whatever went wrong, the raw text must not pass
        return UNREDACTABLE
    return text


def redact_with_counts(text: str) -> tuple[str, dict[str, int]]:
    """Return the redacted text and how many values of each entity were masked in it."""
    redacted = redact(text)
    before, after = (Counter(re.findall("<([A-Z_0-9]+)>", one)) for one in (text, redacted))
    return redacted, {entity: after[entity] - before[entity] for entity in (*ENTITIES, UNREDACTABLE[1:-1]) if after[entity] > before[entity]}


def residue(text: str) -> list[str]:
    """Return the entities that are still found in a text that should hold none, in rule order."""
    return list(redact_with_counts(text)[1])


def pseudonym(value: str, secret: bytes) -> str:
    """Return a stable stand-in for an id: `id-` and 16 hex digits of HMAC-SHA256 (RFC 2104) under a local secret."""
    return "id-" + hmac.new(secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]


def redact_id(value: str, secret: bytes) -> str:
    """Return an id as it is, or its pseudonym when it holds personal data (an e-mail address as a node id, say)."""
    return value if redact(value) == value else pseudonym(value, secret)


# SQL ------------------------------------------------------------------------------------------------------------------


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _rule_sql(rule: Rule, column: str) -> str:
    find, template = _literal(rule.find), _literal(rule.template)
    if rule.is_plain:
        return f"regexp_replace({column}, {find}, {template}, 'g')"
    keeps = [f"not regexp_matches(z[2], {_literal(rule.need)})"] if rule.need else []
    if rule.keep:
        keeps.append(f"regexp_matches(z[2], {_literal(rule.keep)})")
    if rule.alone:
        keeps.append(f"regexp_extract(z[2], {find}, 3) <> ''")
    value = f"regexp_replace(regexp_extract(z[2], {find}, 2), '[^0-9A-Za-z]', '', 'g')"
    if rule.check == "luhn":
        keeps.append(f"not ({_luhn_sql(value)})")
    if rule.check == "iban":
        keeps.append(f"not ({_iban_sql(value)})")
    judged = f"case when z[2] is null then '' when {' or '.join(keeps)} then z[2] else regexp_replace(z[2], {find}, {template}) end"
    # Gaps and matches of the same pattern interleave, so the text is put together again from both.
    pieces = f"list_zip(string_split_regex({column}, {find}), regexp_extract_all({column}, {find}))"
    return f"case when regexp_matches({column}, {find}) then array_to_string(list_transform({pieces}, lambda z: z[1] || {judged}), '') else {column} end"


def _luhn_sql(digits: str) -> str:
    doubled = "case when i % 2 = 1 then c::int when c > '4' then c::int * 2 - 9 else c::int * 2 end"
    return f"list_sum(list_transform(string_split(reverse({digits}), ''), lambda c, i: {doubled})) % 10 = 0"


def _iban_sql(value: str) -> str:
    turned = f"upper(substr({value}, 5) || left({value}, 4))"
    values = f"list_transform(string_split({turned}, ''), lambda c: case when c <= '9' then ascii(c) - 48 else ascii(c) - 55 end)"
    return f"list_reduce({values}, lambda a, b: (a * case when b > 9 then 100 else 10 end + b) % 97, 0) = 1"


ANY_RULE = "|".join(f"(?:{rule.find})" for rule in RULES)
"""Finds nothing exactly when no rule finds anything, so that most texts are looked at once; sound by induction over the rules, which run on the same text."""


def redact_select(source: str, columns: Sequence[str]) -> str:
    """Return a SELECT that yields `source` with these text columns redacted, all else unchanged.

    One nested SELECT a rule: nested expressions of one SELECT would be copied into each other. Null stays null.

    Args:
        source: a table name, or a SELECT in parentheses; our own text, never telemetry.
        columns: names of VARCHAR columns of it.
    """
    flags = [f"_hit_{i}" for i in range(len(columns))]
    marks = ", ".join(f"coalesce(regexp_matches({column}, {_literal(ANY_RULE)}), false) as {flag}" for column, flag in zip(columns, flags, strict=True))
    sql = f"select *, {marks} from {source}"
    for rule in RULES:
        steps = ", ".join(
            f"case when {flag} then coalesce(try({_rule_sql(rule, column)}), '{UNREDACTABLE}') else {column} end as {column}" for column, flag in zip(columns, flags, strict=True)
        )
        sql = f"select * replace ({steps}) from ({sql})"
    return f"select * exclude ({', '.join(flags)}) from ({sql})"


def redact_sql(column: str) -> str:
    """Return a scalar SQL expression, a subquery, that redacts one text column; `redact_select` is the fast way for many rows."""
    return f"({redact_select(f'(select {column} as redacted_text)', ['redacted_text'])})"


def counts_sql(column: str) -> str:
    """Return an aggregate that counts the placeholders in a redacted column: a STRUCT with one BIGINT an entity."""
    each = ", ".join(
        f"{entity.lower()} := coalesce(sum((length({column}) - length(replace({column}, '<{entity}>', ''))) // {len(entity) + 2}), 0)::bigint"
        for entity in (*ENTITIES, UNREDACTABLE[1:-1])
    )
    return f"struct_pack({each})"

r"""What is masked in an error, and by what.

What goes here: pairs of a pattern and its replacement, in the order in which they apply. What does not: which
part of a text they see, and the SQL (`masking.py`).

All patterns are RE2 (no look-around, no back-reference), and see texts whose digits are all `0`.
"""

_NO_SPACES = r"\x{2e80}-\x{a4cf}\x{ac00}-\x{d7af}\x{f900}-\x{faff}\x{ff00}-\x{ffef}"
"""Letters of languages without spaces between words: a number ends where they begin."""
_PIECE = rf"""[^\s=:,;#@()\[\]{{}}<>"'`|{_NO_SPACES}]"""
MASKS: tuple[tuple[str, str], ...] = (
    (r"0+", "0"),
    # What a logger quotes as a whole is the message, not a value; so is what it calls `msg`
    (r'^"((?:[^"\\]|\\.)* (?:[^"\\]|\\.)*)"( [A-Za-z_.]+=|$)', r"\1\2"),
    (r'^"([A-Z][^\n]*(?: [^\n=]*){2})"$', r"\1"),
    (r'(^|\s)(?:msg|message)="((?:[^"\\]|\\.)* (?:[^"\\]|\\.)*)"', r"\1\2"),
    (r"""\(0, (?:"([^"\n]+)"|'([^'\n]+)')\)""", r"(0) \1\2"),  # a database driver's code and message
    (r"\bfailed on the '([a-z_|]+0?)' tag", r"failed on the \1 tag"),  # Go's validator: which rule it was
    (r"`[^`]*`", "<CODE>"),
    (r"\binput_value=.*, input_type=", "input_value=<STR>, input_type="),
    (r"“[^”\n]{1,200}”|„[^“”\n]{1,200}[“”]|‘[^’\n]{1,200}’|«[^»\n]{1,200}»|「[^」\n]{1,200}」", "<STR>"),
    (r"『[^』\n]{1,200}』|《[^》\n]{1,200}》|【[^】\n]{1,200}】", "<STR>"),
    (r"""\b[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>()\[\]{}|,;\\]+""", "<URL>"),
    (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b", "<EMAIL>"),
    (
        r"(: |\bSQL: )(?:SELECT\b[^:;\n]* FROM|INSERT INTO|UPDATE [^:;\n]* SET|DELETE FROM|COPY [^:;\n]* FROM"
        r"|(?:CREATE|ALTER|DROP)(?: [A-Z]+)* (?:TABLE|INDEX|VIEW)|VACUUM|EXPLAIN|ANALYZE|MERGE INTO)"
        r"\b[^:;\n]*",
        r"\1<CODE>",
    ),
    (r"""=("(?:[^"\\\n]|\\.)*"|'[^'\n]*')""", "=<STR>"),
    (r"""(^|[\s(=:,\[{])(?:''|"")([\s,.;:)\]}]|$)""", r"\1<STR>\2"),
    (r"'[^'\s]+'", "<STR>"),
    (r'"[^"\s]+"', "<STR>"),
    (r'"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) ', r"\1 "),
    (r"(^|[\s(=:,\[{])'[^'\n]{1,200}'([\s,.;:)\]}]|$)", r"\1<STR>\2"),
    (r'(^|[\s(=:,\[{])"[^"\n]{1,200}"([\s,.;:)\]}]|$)', r"\1<STR>\2"),
    (r"""\b[A-Za-z]:\\[^\s"'<>|:;,]*""", "<PATH>"),
    (
        r"""(^|[\s"'(=:,\[])/[A-Za-z0-9_.~@%+$*-]*[A-Za-z_*][A-Za-z0-9_.~@%+$*-]*(?:/[A-Za-z0-9_.~@%+$*-]*)*(?:\?[^\s"'<>]*)?""",
        r"\1<PATH>",
    ),
    (r"[A-Za-z_.~@][A-Za-z0-9_.~@+-]*(?:/[A-Za-z0-9_.~@%+$*-]+){2,}/?", "<PATH>"),
    (
        r"(?:[A-Za-z0-9_~@+/-][A-Za-z0-9_.~@+/-]*)?[A-Za-z0-9_-]{2}\.(?:py|js|ts|tsx|jsx|cc?|cpp|hpp|h|java|go|rs|rb|php|json|ya?ml|toml|txt|log|md|csv"
        r"|html?|xml|sh|so|dll|exe|cfg|ini|conf|zip|gz|tar|png|jpe?g|pdf|ipynb|jar|sql|lock|tmp)\b",
        "<PATH>",
    ),
    (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]*[g-zG-Z][A-Za-z0-9.-]*", "<EMAIL>"),  # a process on a host
    (r"(?:\b|/)0\.0\.0\.0(?:/0)?\b", "<IP>"),
    (r"\b[0-9A-Fa-f]+(?:-[0-9A-Fa-f]+){4}\b", "<UUID>"),
    (
        r"(?i)\b(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? "
        r"+)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]* +0 +0:0:0(?: +[A-Z]{3,4})?(?: "
        r"+0)?\b",
        "<TIME>",
    ),
    (r"\b0[-/]0[-/]0(?:[T ]+0:0(?::0)?(?:[.,]0)?(?:Z|[+-]0(?::?0)?)?)?\b", "<TIME>"),
    (r"\b[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){3,}\b", "<ADDR>"),
    (r"\b0:0:0(?:[.,]0)?\b", "<TIME>"),
    (
        r"<TIME>(?: [+-]?0)? (?:UTC|GMT|[ECMP][SD]T|CES?T|EES?T|WES?T|BST|IST|JST|KST|MSK|SGT|AES?T)\b",
        "<TIME>",
    ),
    (r"\b(?:[a-z0-9-]+\.)+[a-z]{2,}:0\b", "<HOST>"),
    (
        r"\b(?:[A-Za-z0-9-]+\.)+(?:com|net|org|edu|gov|mil|io|ai|dev|app|local|localdomain|internal|info|biz|cn|uk|hk|de|jp|us|fr|ru|br|tw|kr|in|it|nl|au|ca)"
        r"([^A-Za-z0-9.]|$)",
        r"<HOST>\1",
    ),
    (
        r"\b(?:[A-Za-z0-9-]+\.){2,}(?:pl|cz|es|se|no|fi|ch|at|be|dk|gr|hu|ie|il|mx|nz|pt|ro|sg|tr|ua|za|ar|cl|co|vn|th|ph|my|eu|sk|lt|lv|ee|bg|hr)"
        r"([^A-Za-z0-9.]|$)",
        r"<HOST>\1",
    ),
    (
        r"\b0(?:[.,]0)* ?(?:[KMGTkmgt]?i?[Bb]|bytes?|[mun]?s|secs?|seconds?|milliseconds?|microseconds?"
        r"|minutes?|mins?|hours?|days?|%)(?:\b|$)",
        "<NUM>",
    ),
    (r"(?i)\b(unexpected (?:token|character|char|symbol)) (?:<|[^\s<][^\s]{0,2})([ ,]|$)", r"\1 <STR>\2"),
    (r"\.\.+([A-Za-z0-9\s]|$)", r" .. \1"),
    (r"\b([A-Za-z_]+)0=", r"\1#="),
    (  # the name of a service says which one it is, digit or not
        r"(^|[^A-Za-z0-9_.-])([a-z][a-z-]*)0((?:-[a-z]+)*-(?:service|svc|server|api|gateway))([^A-Za-z0-9_-]|$)",
        r"\1\2N\3\4",
    ),
    (rf"{_PIECE}*(?:0{_PIECE}*[A-Za-z_\\]|[A-Za-z_\\]{_PIECE}*0){_PIECE}*", "<ID>"),
    (rf"{_PIECE}*0{_PIECE}*", "<NUM>"),
    (r"\b[A-Fa-f]{8,}\b", "<HEX>"),
    (r"\s+", " "),
    (r"<ID>(?:[ ,;]+<ID>){2,}", "<ID>"),
    (r"<NUM>(?:[ ,;]+<NUM>){2,}", "<NUM>"),
)

"""What the simulated fleet is made of: its services, the failures planted in it and the words it uses.

What goes here: data alone, all of it made up. What does not: how often and where it happens (`simulation.py`).

Texts are templates: `@name@` is a variable part, drawn anew for each occurrence by the function of that name in `FIELDS`.
Personal data and keys are fictional and put together when drawn, so that nothing in this file looks like a secret.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from fl_assets.core.models import ErrorClass, Signal

Shape = Literal["chronic", "new", "rising", "fixed", "single_node", "burst", "rare"]


@dataclass(frozen=True)
class Method:
    """One method of a service: its share of calls (a weight) and its latency, log-normal around `median_ms` with `sigma`."""

    service: str
    name: str
    weight: float
    median_ms: float
    sigma: float
    arguments: str = ""


@dataclass(frozen=True)
class CallFailure:
    """A failure planted in calls: `rate` of the calls to `targets` on `node_share` of the nodes (an int: that many nodes)."""

    id: str
    failure_class: ErrorClass
    shape: Shape
    targets: tuple[tuple[str, str], ...]
    rate: float
    node_share: float
    text: str | None
    status: str
    duration_ms: float | None = None


@dataclass(frozen=True)
class TalkFailure:
    """A failure planted in talk: `rate` of the sessions of `agent` on `node_share` of the nodes show `signal`."""

    id: str
    signal: Signal
    shape: Shape
    agent: str
    rate: float
    node_share: float


@dataclass(frozen=True)
class Noise:
    """A failure that happens now and then, on one node at a time, and means nothing for the fleet."""

    service: str
    method: str
    text: str


@dataclass(frozen=True)
class Topic:
    """What users ask: openings say the same thing with the same fields in the same order; follow-ups differ from each other."""

    openings: tuple[str, ...]
    answer: str
    follow_ups: tuple[tuple[str, str], ...]


METHODS = (
    Method("planner", "plan", 9, 900, 0.5),
    Method("planner", "dispatch_tool", 8, 40, 0.7, '{"goal":"@verb@ @noun@","budget":@small@}'),
    Method("planner", "reflect", 3, 700, 0.5),
    Method("planner", "finish", 6, 25, 0.5),
    Method("retrieval", "search", 9, 180, 0.8, '{"query":"@noun@ @noun@","top_k":@small@}'),
    Method("retrieval", "embed", 5, 60, 0.4),
    Method("retrieval", "fetch_document", 6, 95, 0.9, '{"document":"@uuid@"}'),
    Method("retrieval", "rerank", 3, 120, 0.4),
    Method("code-runner", "run_python", 8, 1500, 1.1, '{"file":"@home@"}'),
    Method("code-runner", "run_tests", 3, 9000, 0.9),
    Method("code-runner", "install_package", 2, 4000, 0.8),
    Method("code-runner", "edit_file", 6, 30, 0.6, '{"path":"@home@","line":@num@}'),
    Method("browser", "open_page", 6, 1200, 0.9, '{"url":"https://@host@/@noun@/@num@"}'),
    Method("browser", "click", 6, 240, 0.6),
    Method("browser", "extract_table", 2, 380, 0.7),
    Method("browser", "screenshot", 2, 520, 0.4),
    Method("billing-tools", "get_invoice", 3, 85, 0.6, '{"invoice":"@order@"}'),
    Method("billing-tools", "issue_refund", 6, 310, 0.6, '{"order":"@order@","email":"@email@"}'),
    Method("billing-tools", "create_charge", 2, 420, 0.6, '{"card":"@card@","amount":@num@}'),
    Method("crm-tools", "find_customer", 5, 70, 0.6, '{"email":"@email@"}'),
    Method("crm-tools", "update_ticket", 4, 110, 0.6, '{"ticket":"@ticket@","phone":"@phone@"}'),
    Method("calendar-tools", "create_event", 4, 150, 0.6, '{"attendees":["@email@"],"minutes":@num@}'),
    Method("calendar-tools", "list_slots", 2, 80, 0.5),
    Method("llm-gateway", "complete", 12, 2200, 0.6),
    Method("llm-gateway", "structured_output", 7, 1800, 0.5),
    Method("llm-gateway", "summarize", 5, 2600, 0.5),
    Method(
        "warehouse-sql", "run_query", 5, 600, 1.2, '{"sql":"select count(*) from @noun@ where id = @num@"}'
    ),
    Method("warehouse-sql", "describe_table", 1, 45, 0.5),
    Method("notifier", "send_email", 3, 130, 0.6, '{"to":"@email@"}'),
)
METHOD_INDEX = {(method.service, method.name): index for index, method in enumerate(METHODS)}
AGENTS = ("support-agent", "research-agent")
AGENT_SHARES = (0.6, 0.4)

CALL_FAILURES = (
    CallFailure(
        "expired-token-on-one-node",
        "auth",
        "single_node",
        tuple(
            (m.service, m.name)
            for m in METHODS
            if m.service in {"billing-tools", "crm-tools", "calendar-tools", "notifier"}
        ),
        0.9,
        1,
        "401 Unauthorized: access token of service account svc-@noun@ expired @num@ seconds ago (request @hex@)",
        "401",
        35,
    ),
    CallFailure(
        "search-timeout",
        "timeout",
        "chronic",
        (("retrieval", "search"),),
        0.28,
        0.7,
        "search request timed out after @limit@ s waiting for shard @num@ (attempt @small@, trace @hex@)",
        "504",
        30_000,
    ),
    CallFailure(
        "customer-id-arguments",
        "bad_arguments",
        "chronic",
        (("crm-tools", "find_customer"), ("crm-tools", "update_ticket")),
        0.25,
        0.6,
        '{"error":{"type":"invalid_request_error","param":"customer_id",'
        '"message":"Invalid arguments: customer_id must be an integer, got \'@word@\'","request_id":"req_@hex@"}}',
        "400",
    ),
    CallFailure(
        "output-not-json",
        "invalid_output",
        "chronic",
        (("llm-gateway", "structured_output"),),
        0.25,
        0.8,
        "Failed to parse model output as JSON: Expecting ',' delimiter: line @small@ column @num@ (char @num@)",
        "422",
    ),
    CallFailure(
        "step-limit",
        "step_limit",
        "chronic",
        (("planner", "finish"),),
        0.3,
        0.6,
        "Agent stopped: maximum number of steps reached (@count@ steps) before the goal '@verb@ @noun@' was met",
        "stopped",
    ),
    CallFailure(
        "document-missing",
        "not_found",
        "chronic",
        (("retrieval", "fetch_document"),),
        0.6,
        5,
        "404 Not Found: document @uuid@ does not exist in collection '@noun@'",
        "404",
        18,
    ),
    CallFailure(
        "refund-window",
        "business_rule",
        "chronic",
        (("billing-tools", "issue_refund"),),
        0.3,
        0.5,
        "Refund rejected: order @order@ of customer @email@ was delivered @days@ days ago, outside of the 30 day refund window",
        "declined",
    ),
    CallFailure(
        "invented-tool",
        "unknown_tool",
        "chronic",
        (("planner", "dispatch_tool"),),
        0.22,
        0.7,
        "Unknown tool '@invented@': no such tool is registered (@count@ tools available)",
        "error",
        3,
    ),
    CallFailure(
        "edit-hunk-defect",
        "code_defect",
        "chronic",
        (("code-runner", "edit_file"),),
        0.25,
        0.5,
        'Traceback (most recent call last):\n  File "@home@", line @num@, in run\n    result = apply_edit(request)\n'
        '  File "@home@", line @num@, in apply_edit\n'
        "    return before + hunk.text\nTypeError: unsupported operand type(s) for +: 'NoneType' and 'str'",
        "1",
    ),
    CallFailure(
        "click-without-a-word", "other", "chronic", (("browser", "click"),), 0.25, 0.6, None, "failed"
    ),
    CallFailure(
        "model-rate-limit",
        "rate_limit",
        "rising",
        (("llm-gateway", "complete"),),
        0.25,
        0.8,
        "429 Too Many Requests: rate limit of @count@0 requests per minute exceeded for model deployment '@host@', retry after @dur@ s",
        "429",
        45,
    ),
    CallFailure(
        "calendar-conflict",
        "conflict",
        "rising",
        (("calendar-tools", "create_event"),),
        0.4,
        0.7,
        "409 Conflict: event @hex@ was modified by another writer (version @num@, expected @num@)",
        "409",
    ),
    CallFailure(
        "summary-too-long",
        "context_overflow",
        "new",
        (("llm-gateway", "summarize"),),
        0.45,
        0.6,
        "This model's maximum context length is 32768 tokens, however the messages resulted in @big@ tokens",
        "400",
        60,
    ),
    CallFailure(
        "page-blocked",
        "policy_refusal",
        "new",
        (("browser", "open_page"),),
        0.3,
        0.6,
        "Blocked by content policy: navigation to https://@host@/@noun@/@num@ is not permitted for this agent",
        "blocked",
        9,
    ),
    CallFailure(
        "sandbox-memory",
        "resource_limit",
        "fixed",
        (("code-runner", "run_python"),),
        0.28,
        0.7,
        'Traceback (most recent call last):\n  File "@home@", line @num@, in <module>\n    table = load_table("@path@")\n'
        "MemoryError: Unable to allocate @big@ KiB: sandbox memory limit of @count@ MiB exceeded",
        "137",
    ),
    CallFailure(
        "warehouse-down",
        "dependency_down",
        "burst",
        (("warehouse-sql", "run_query"),),
        0.7,
        0.8,
        "could not connect to server: Connection refused. Is the server running on host @ip@ and accepting connections on port @num@?",
        "503",
        12,
    ),
    CallFailure(
        "negative-amount",
        "other",
        "rare",
        (("billing-tools", "create_charge"),),
        0.4,
        1.0,
        "ledger entry @order@ went through the looking glass at position @num@",
        "error",
    ),
)
TALK_FAILURES = (
    TalkFailure("support-answers-wrong-order", "correction", "chronic", "support-agent", 0.16, 0.7),
    TalkFailure("support-claims-success", "confident_after_failure", "chronic", "support-agent", 0.16, 0.7),
    TalkFailure("support-asked-again", "repeated_question", "rising", "support-agent", 0.2, 0.8),
    TalkFailure("research-abandoned", "abandonment", "chronic", "research-agent", 0.2, 0.7),
    TalkFailure("research-refuses", "refusal", "new", "research-agent", 0.28, 0.7),
    TalkFailure("research-apologizes", "apology_loop", "fixed", "research-agent", 0.2, 0.7),
)

_NOISE_TEXTS = (
    "tokenizer cache checksum mismatch at block @num@",
    "lease on partition @num@ was lost during compaction",
    "unexpected end of stream after @num@ bytes",
    "could not rewind cursor past record @big@",
    "feature flag store returned a stale snapshot (revision @num@)",
    "worker @num@ exited while draining its queue",
    "gzip trailer differs from payload in part @small@",
    "clock moved backwards by @num@ ms",
    "cookie jar is locked by process @num@",
    "selector matched @num@ elements where one was wanted",
    "ledger replay halted at sequence @big@",
    "negative backoff computed from jitter @dur@",
    "thread pool is shutting down, task @hex@ dropped",
    "DNS answer for @host@ was empty",
    "TLS handshake with @ip@ was reset by the peer",
    "broken pipe while flushing @num@ spans",
    "image decoder gave up on a frame of @num@ pixels",
    "robots file of @host@ could not be read",
    "too many open files in pid @num@",
    "histogram bucket @small@ overflowed its counter",
    "upload part @num@ has no entity tag",
    "wheel cache entry @hex@ is half written",
    "locale '@word@' has no plural forms",
    "scheduler skipped tick @num@, the previous one still runs",
    "leader election lost in term @num@",
    "vector of @num@ dimensions came back as zeros",
    "font fallback recursion for glyph @num@",
    "archive member @path@ has a reserved name",
    "attachment @uuid@ is still being scanned",
    "mailbox @email@ is over quota by @num@ KiB",
    "session affinity cookie points to a drained backend @ip@",
    "bloom filter reload found @num@ orphan keys",
    "child process closed its stdout early (@num@ lines read)",
    "cannot pickle a running coroutine in slot @small@",
    "shadow copy of @path@ vanished",
    "prefetch window shrank to @small@ rows",
    "page fault storm on worker @num@",
    "signal 17 arrived while checkpointing epoch @num@",
    "HTTP/2 stream @num@ was refused before any bytes were sent",
    "idempotency store answered twice for key @hex@",
)
NOISE = tuple(
    Noise(METHODS[(index * 7) % len(METHODS)].service, METHODS[(index * 7) % len(METHODS)].name, text)
    for index, text in enumerate(_NOISE_TEXTS)
)

# Variable parts ---------------------------------------------------------------------------------------------------------

_FIRST = (
    "amara",
    "bela",
    "chidi",
    "dunja",
    "emeka",
    "farid",
    "greta",
    "hilde",
    "ines",
    "jarek",
    "kaya",
    "leandro",
    "mirela",
    "noor",
    "oskar",
    "priya",
    "rosa",
    "tariq",
)
_LAST = (
    "abara",
    "brandt",
    "castell",
    "dumont",
    "eklund",
    "fontane",
    "grieco",
    "holm",
    "ivanek",
    "juhasz",
    "kessler",
    "lindqvist",
    "moreau",
    "novik",
    "okafor",
    "pereira",
)
_NOUNS = (
    "orders",
    "invoices",
    "tickets",
    "sensors",
    "contracts",
    "shipments",
    "tenants",
    "reports",
    "meters",
    "claims",
    "routes",
    "samples",
    "budgets",
    "assets",
    "leads",
)
_VERBS = (
    "reconcile",
    "summarize",
    "export",
    "compare",
    "classify",
    "archive",
    "translate",
    "schedule",
    "audit",
    "merge",
    "rank",
    "forecast",
)
_WORDS = (
    "primary",
    "standard-eu",
    "C-4471x",
    "n/a",
    "customer seven",
    "Müller",
    "canary-b",
    "none",
    "first",
    "q3-draft",
    "blue",
    "twelve",
    "unset",
    "alpha-02",
)
_DIRS = ("work", "src", "agents", "notebooks", "jobs", "pipelines")
_HOSTS = ("docs", "shop", "status", "portal", "intranet", "wiki", "api", "files")


def _of(values: tuple[str, ...]) -> Callable[[Random], str]:
    return lambda random: values[int(random.random() * len(values))]


_first, _last, _noun, _verb, _word, _dir, _host = (
    _of(values) for values in (_FIRST, _LAST, _NOUNS, _VERBS, _WORDS, _DIRS, _HOSTS)
)


def _digits(random: Random, count: int) -> str:
    return f"{int(random.random() * 10**count):0{count}d}"


def _hexadecimal(random: Random) -> str:
    return f"{random.getrandbits(64):016x}"


def _uuid(random: Random) -> str:
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _card(random: Random) -> str:
    """Draw a card number in a test range, with a valid Luhn digit (ISO/IEC 7812-1)."""
    body = ("424242", "555555", "400000")[int(random.random() * 3)] + _digits(random, 9)
    doubled = [int(digit) * 2 if place % 2 == 0 else int(digit) for place, digit in enumerate(body)]
    check = -sum(value - 9 if value > 9 else value for value in doubled) % 10
    number = f"{body}{check}"
    return (
        " ".join(number[start : start + 4] for start in range(0, 16, 4)) if random.random() < 0.5 else number
    )


def _iban(random: Random) -> str:
    """Draw a German IBAN with valid check digits (ISO 13616, mod 97)."""
    account = _digits(random, 18)
    return f"DE{98 - int(account + '131400') % 97:02d}{account}"


def _key(random: Random) -> str:
    prefix, length = (("sk-", 48), ("ghp_", 36), ("hf_", 34), ("AKIA", 16))[int(random.random() * 4)]
    alphabet = (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
        if prefix == "AKIA"
        else "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
    )
    return prefix + "".join(random.choices(alphabet, k=length))


def _phone(random: Random) -> str:
    """Draw a number from the ranges that regulators keep for fiction (NANPA 555-01xx, Ofcom 7946 0xxx)."""
    if random.random() < 0.5:
        return f"+1-202-555-01{_digits(random, 2)}"
    return f"+44 20 7946 0{_digits(random, 3)}"


FIELDS: dict[str, Callable[[Random], str]] = {
    "num": lambda random: str(int(random.random() * 10 ** (1 + int(random.random() * 4)))),
    "small": lambda random: str(1 + int(random.random() * 9)),
    "big": lambda random: str(33_000 + int(random.random() * 90_000)),
    "count": lambda random: str(10 + int(random.random() * 90)),
    "days": lambda random: str(31 + int(random.random() * 300)),
    "limit": lambda random: f"30.{int(random.random() * 1000):03d}",
    "dur": lambda random: f"{5 + random.random() * 55:.1f}",
    "hex": _hexadecimal,
    "uuid": _uuid,
    "noun": _noun,
    "verb": _verb,
    "word": _word,
    "host": lambda random: f"{_host(random)}.{_last(random)}.example",
    "ip": lambda random: f"203.0.113.{1 + int(random.random() * 254)}",
    "order": lambda random: f"SO-{_digits(random, 7)}",
    "ticket": lambda random: f"T{_digits(random, 6)}",
    "invented": lambda random: (
        f"{_verb(random)}_{_noun(random)}_{_word(random).split('-')[0].split()[0].lower().replace('/', '')}"
    ),
    "path": lambda random: f"/var/lib/agent/{_hexadecimal(random)[:8]}/{_noun(random)}.parquet",
    "home": lambda random: (
        f"/home/{_first(random)}{_last(random)[0]}/{_dir(random)}/{_verb(random)}_{_noun(random)}.py"
    ),
    "name": lambda random: f"{_first(random).title()} {_last(random).title()}",
    "email": lambda random: (
        f"{_first(random)}.{_last(random)}{int(random.random() * 90)}@example.{('com', 'org', 'net')[int(random.random() * 3)]}"
    ),
    "phone": _phone,
    "card": _card,
    "iban": _iban,
    "key": _key,
}
_FIELD = re.compile(r"@(\w+)@")
_SPECIAL = re.compile(r"([.*+?^${}()|\[\]\\])")


def render(template: str, random: Random) -> str:
    """Fill a template's variable parts."""
    return _FIELD.sub(lambda found: FIELDS[found[1]](random), template)


def pattern_of(template: str) -> str:
    """Return the regular expression (RE2 and Java too) that matches a template's texts from end to end."""
    constants = _FIELD.split(template)[::2]
    return "(?s)^" + ".*?".join(_SPECIAL.sub(r"\\\1", part) for part in constants) + "$"


# Talk ------------------------------------------------------------------------------------------------------------------

TOPICS = (
    Topic(
        (
            "Where is my order @order@ with the garden chairs?",
            "Could you tell me where the order @order@ with my garden chairs is?",
            "I would like to know where order @order@ is, the one with the garden chairs.",
        ),
        "Order @order@ left the warehouse and is due in @small@ days.",
        (
            ("Can the courier leave it with a neighbour?", "Yes, I have added that note for the courier."),
            ("Which carrier brings it?", "It travels with the parcel service of your region."),
            ("Please add gift wrapping to it as well.", "Gift wrapping is added at no cost."),
        ),
    ),
    Topic(
        (
            "How much do I still owe on invoice @order@ for the last quarter?",
            "What is the open amount on invoice @order@ of last quarter?",
            "Please tell me what I still owe on last quarter's invoice @order@.",
        ),
        "@num@.50 EUR of that invoice is open, due at the end of the month.",
        (
            ("Send the PDF to the accounting team, please.", "The PDF is on its way to them."),
            ("Does the amount include tax?", "It does, tax is listed on page two."),
            ("Which payment methods do you take?", "Bank transfer, card and direct debit."),
        ),
    ),
    Topic(
        (
            "Find peer reviewed studies on @noun@ from the last @small@ years.",
            "Which peer reviewed studies on @noun@ came out in the last @small@ years?",
            "Look for peer reviewed research about @noun@ from the past @small@ years.",
        ),
        "I found @num@ studies; the three most cited are in the list.",
        (
            ("Which of them share their data?", "Two of them publish their data openly."),
            ("Export the list with abstracts.", "The export holds title, year and abstract."),
            ("Who wrote the oldest one?", "A group of four authors at a public institute."),
        ),
    ),
    Topic(
        (
            "Book a meeting room for @small@ people on Monday at ten.",
            "I need a meeting room for @small@ people on Monday at ten, can you book one?",
            "Can you reserve a meeting room with @small@ seats for Monday at ten?",
        ),
        "The corner room is reserved from ten to eleven.",
        (
            ("Invite the finance team too.", "Invitations went out to the finance team."),
            ("Is there a projector?", "Yes, with cable and wireless."),
            ("Add an agenda item about @noun@.", "The agenda now lists it as its second item."),
        ),
    ),
    Topic(
        (
            "Compare the sales of @noun@ by region for quarter @small@.",
            "How do the sales of @noun@ compare by region in quarter @small@?",
            "I want to see the sales of @noun@ in quarter @small@ for each region.",
        ),
        "North leads with @num@ units, followed by the coast.",
        (
            ("Draw that as a bar chart.", "The bar chart is attached."),
            ("What changed since last year?", "The coast grew the most, by a fifth."),
            ("Leave out the returns.", "Returns are filtered now, the order of regions stays."),
        ),
    ),
    Topic(
        (
            "My login has stopped working since update @num@ of the desktop app.",
            "Why has my login stopped working since update @num@ of the desktop app?",
            "After update @num@ of the desktop app I can not log in any more.",
        ),
        "The session was bound to the old version; a fresh link is in your inbox.",
        (
            ("How long is the link valid?", "For one hour from now."),
            (
                "Turn on two factor sign-in while you are there.",
                "Two factor sign-in is active on the account.",
            ),
            ("Do my saved filters survive that?", "All filters and views are kept."),
        ),
    ),
)
CLOSINGS = (
    ("Great, that was all. Thank you!", "You are welcome, have a good day."),
    ("Perfect, thanks for the quick help.", "Happy to help."),
    ("Thank you, that answers it.", "Glad to hear that."),
)
PERSONAL = (
    " You can reach me at @email@.",
    " My number is @phone@.",
    " Please charge card @card@ for it.",
    " The script is in @home@ if you need it.",
    " Pay it out to @iban@.",
    " I am @name@, by the way, mail to @email@.",
    " For the API use @key@ until tomorrow.",
)
COPIES = (" A copy went to @email@.", " We will call @phone@ when it is done.")
VAGUE = (
    "There are several options for this kind of request.",
    "Let me give you some general information on this.",
    "This depends on a number of things.",
)
CORRECTIONS = (
    "No, that is wrong. I meant @order@.",
    "That's not what I asked for, I was talking about @order@.",
    "You misunderstood me: the number is @order@, not the other one.",
)
GIVING_UP = (
    "Forget it, I will do it myself.",
    "Never mind, this is not working.",
    "I give up, I will call the hotline instead.",
)
REFUSALS = (
    "I'm sorry, but I can't help with that request.",
    "I cannot assist with this, as it is against my guidelines.",
    "I am unable to help with that.",
)
APOLOGIES = (
    "I apologize for the confusion. Let me try that once more.",
    "Sorry about that, I made a mistake. Here is another attempt.",
    "My apologies, that was not correct. I will look again.",
    "I'm sorry for the error. Let me correct it.",
)
CONFIDENT = (
    ("Did it go through?", "Yes, your request has been processed and is confirmed."),
    ("So is it done now?", "It is done: all steps were completed successfully."),
    ("Can I rely on that?", "Absolutely, the update has been saved and is active."),
)
HONEST = (
    "One of the steps failed, so nothing was changed yet; ticket @ticket@ tracks it.",
    "That lookup failed on our side. I noted it as @ticket@ and nothing has been charged.",
)

"""A family is what a person calls one problem; patterns keep their ids and counts."""

import random
from datetime import date, timedelta

import pandas as pd
import pytest

from fl_assets.federation.coordinator_side import mask_texts
from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.families import families, first_sentence, kinds
from fl_assets.patterns.grouping import group_patterns

RULES = load_failure_classes()
FIRST = date(2026, 11, 1)


def masked(text):
    return mask_texts([text])[0]


def known(texts, *, service="agent", method="call", day=0, weight=None):
    return pd.DataFrame(
        {
            "message_id": [f"m{abs(hash((text, service, method)))}" for text in texts],
            "masked_error": [
                masked or f"no error text: service={service} method={method}" for masked in mask_texts(texts)
            ],
            "has_text": [bool(text) for text in texts],
            "service": service,
            "method": method,
            "first_day": FIRST + timedelta(days=day),
            "failures": weight or 1,
        }
    ).drop_duplicates("masked_error", ignore_index=True)


def grouped_of(messages):
    grouped = group_patterns(messages)
    every = messages.merge(grouped, on="message_id")
    places = every.groupby("pattern_id", as_index=False).agg(
        methods=("method", lambda names: sorted(set(names))),
        services=("service", lambda names: sorted(set(names))),
    )
    kind_of = kinds(messages, grouped, places, RULES)
    return grouped, kind_of, families(messages, grouped, kind_of)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "An error occurred (ThrottlingException) when calling the Converse operation: Too many "
            "tokens, please wait before trying again.",
            "rate_limit",
        ),
        ("Too many tokens, please wait before trying again.", "rate_limit"),
        (
            "This request would exceed your organization's rate limit of 40,000 input tokens per minute",
            "rate_limit",
        ),
        (
            "Quota exceeded for "
            "aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model",
            "rate_limit",
        ),
        (
            "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, "
            "Requested 47000.",
            "rate_limit",
        ),
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 "
            "tokens.",
            "context_overflow",
        ),
        ("429 Resource has been exhausted (e.g. check quota).", "rate_limit"),
        ("Error code: 402 - {'error': {'message': 'Insufficient Balance'}}", "rate_limit"),
        ("prompt is too long: 214356 tokens > 200000 maximum", "context_overflow"),
        ("The candidate's finish_reason is SAFETY; response was blocked.", "policy_refusal"),
        ("The security token included in the request is expired", "auth"),
        ("The model `gpt-9` does not exist or you do not have access to it.", "not_found"),
        ("Failed to call a function. Please adjust your prompt.", "invalid_output"),
        ("MCP error -32601: Method not found", "unknown_tool"),
        ("Verbindung zum Server fehlgeschlagen", "dependency_down"),
        ("Kontextlänge überschritten", "context_overflow"),
        ("Outil inconnu : recherche", "unknown_tool"),
        ("El correo ya está registrado", "conflict"),
        ("API密钥无效", "auth"),
        ("输入内容包含敏感信息", "policy_refusal"),
        ("この商品は返品できません", "business_rule"),
        ("Verbindung abgelehnt", "dependency_down"),
        ("Le service indisponible, veuillez réessayer", "dependency_down"),
        ("No se encontró el pedido", "not_found"),
        ("请求过于频繁,请稍后再试", "rate_limit"),
        ("アクセスが拒否されました", "auth"),
        ("用户不存在", "not_found"),
        ("wrong number of calls for book(api_key='x', timeout=[1, {'a': 2}]): expected 2", "bad_arguments"),
        ("Zeitüberschreitung der Anforderung", "timeout"),
    ],
)
def test_codes_and_other_languages_say_the_class(text, expected):
    messages = known([text])
    _, kind_of, _ = grouped_of(messages)
    assert [kind.failure_class for kind in kind_of.values()] == [expected]


@pytest.mark.parametrize(
    ("text", "method", "harmless"),
    [
        ("", "grep", True),
        ("", "search", False),
        ("rm: cannot remove 'a.py': No such file or directory", "rm", True),
        ("rm: cannot remove 'a.py': Permission denied", "rm", False),
        ("ls: cannot access 'a.py': No such file or directory", "ls", False),
        ("context canceled", "call", True),
        ("The order cannot be cancelled: it was already shipped", "cancel_order", False),
        ("= 3 failed, 12 passed in 0.12s =\n", "pytest", True),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+b", "diff", True),
    ],
)
def test_what_is_a_result_and_no_failure_asks_for_nothing(text, method, harmless):
    _, kind_of, _ = grouped_of(known([text], method=method))
    assert [kind.is_harmless for kind in kind_of.values()] == [harmless]


def test_what_a_test_runner_prints_last_is_no_cause():
    closers = [
        "E  assert 1 == 2\n=== 1 failed, 3 passed in 0.2s ===",
        "collected 3 items\n==== 2 failed, 9 passed, 1 skipped, 3 warnings in 1.02s ====",
        "FF..\nRan 4 tests in 0.1s\n\nFAILED (failures=2)",
        "FAILED tests/test_a.py::test_b[x-1] - AssertionError: assert 1 == 2\n= 1 failed in 0.1s =",
    ]
    found = {masked(text) for text in closers}
    assert found <= {"Tests failed", "Tests failed: AssertionError"}


@pytest.mark.parametrize(
    ("text", "method", "harmless"),
    [
        (
            "E   TypeError: bad\nFAILED t/a.py::b - TypeError: bad\n== 7 failed, 15 passed in 16.24s ==",
            "pytest",
            True,
        ),
        ("TypeError: bad\n\nRan 9 tests in 0.1s\n\nFAILED (errors=1)", "python3", True),
        ('Traceback (most recent call last):\n  File "a.py", line 1\nTypeError: bad', "python3", False),
        (
            "Traceback (most recent call last):\nModuleNotFoundError: No module named 'x'\n\n"
            "Ran 1 test in 0.0s\n\nFAILED (errors=1)",
            "runtests.py",
            False,
        ),
        ("ERROR t/a.py - SyntaxError: invalid syntax\n=== 1 error in 0.1s ===", "pytest", False),
    ],
)
def test_what_tests_find_is_told_from_what_stops_a_script_or_the_tests_themselves(text, method, harmless):
    _, kind_of, _ = grouped_of(known([text], method=method))
    assert [kind.is_harmless for kind in kind_of.values()] == [harmless], masked(text)


def test_a_script_and_a_test_run_that_stop_with_one_type_of_exception_are_two_patterns():
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: no'
    texts = [trace, f"{trace}\n\nRan 3 tests in 0.1s\n\nFAILED (errors=1)"]
    grouped, _, family_of = grouped_of(known(texts, method="python3"))
    assert sorted(grouped["template"]) == ["Tests failed: exception", "Traceback: ValueError: <*>"]
    assert len(set(family_of.values())) == 2


@pytest.mark.parametrize(
    ("stand_in", "harmless"),
    [
        ("status=1 command=grep", True),
        ("command=diff", True),
        ("status=2 command=grep", False),
        ("status=1", False),
    ],
)
def test_a_search_without_match_is_harmless_in_a_tool_that_runs_any_command(stand_in, harmless):
    messages = known([""], service="coder", method="run")
    messages["masked_error"] = f"no error text: service=coder method=run {stand_in}"
    _, kind_of, _ = grouped_of(messages)
    assert [kind.is_harmless for kind in kind_of.values()] == [harmless]


def test_of_a_databases_exception_the_message_says_which_failure_it_is():
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nsqlite3.OperationalError: '
    texts = [
        trace + what
        for what in ("no such table: shop_cart", "table shop_cart already exists", 'near "x": syntax error')
    ]
    grouped, kind_of, _ = grouped_of(known(texts, method="python3"))
    assert grouped["pattern_id"].nunique() == 3
    assert {kind.rule_id for kind in kind_of.values()} >= {"missing-table", "tables-there-already"}


def test_services_whose_names_have_digits_are_told_apart():
    texts = [f"No instances available for shop-{name}-service" for name in ("order", "order2", "cart2")]
    grouped, _, family_of = grouped_of(known(texts))
    assert grouped["pattern_id"].nunique() == len(set(family_of.values())) == 3


def test_one_line_twice_is_the_line():
    once = "rm: cannot remove 'a.py': No such file or directory"
    assert masked(f"{once}\n{once.replace('a.py', 'b.py')}") == masked(once)


def test_values_of_several_words_in_quotes_make_no_patterns_and_apostrophes_hide_nothing():
    one, other = (
        masked("No city named 'New York' in the index"),
        masked("No city named 'San Jose del Cabo' in the index"),
    )
    assert one == other == "No city named <STR> in the index"
    assert "found" in masked("can't find what wasn't there and found nothing")


def test_a_family_joins_first_sentences_and_rules_and_keeps_patterns_apart():
    messages = known(
        [
            "Field 'age' must be a number. Got 'twelve' for it",
            "Field 'size' must be a number. You sent nothing that could be read",
            "Missing required field 'name'",
            "rm: cannot remove 'x': No such file or directory",
            "python: can't open file '/a/b.py': [Errno 2] No such file or directory",
        ]
    )
    grouped, _, family_of = grouped_of(messages)
    assert grouped["pattern_id"].nunique() == 5
    by_text = dict(
        zip(messages["masked_error"], messages.merge(grouped, on="message_id")["pattern_id"], strict=True)
    )
    family = [family_of[name] for name in by_text.values()]
    assert family[0] == family[1]
    assert family[3] == family[4]
    assert len(set(family)) == 3


def test_services_and_named_dependencies_stay_apart():
    one, other = (
        known(["No such file or directory: a"], service="a"),
        known(["cat: x: No such file or directory"], service="b"),
    )
    assert len(set(grouped_of(pd.concat([one, other], ignore_index=True))[2].values())) == 2
    down = known(["No instances available for cart-service", "No instances available for mail-service"])
    assert len(set(grouped_of(down)[2].values())) == 2


def test_families_depend_on_no_order_and_later_messages_only_join_them():
    texts = [
        f"Tool '{name}' failed: {reason}"
        for name in "abc"
        for reason in ("too slow", "no such user 'x y'", "denied")
    ]
    messages = known(texts)
    messages["first_day"] = [FIRST + timedelta(days=place % 3) for place in range(len(messages))]
    _, _, whole = grouped_of(messages)
    shuffled = messages.sample(frac=1, random_state=random.Random(1).randrange(9)).reset_index(drop=True)
    assert grouped_of(shuffled)[2] == whole
    early = messages[messages["first_day"] == FIRST].reset_index(drop=True)
    _, _, before = grouped_of(early)
    joined = {}
    for name, family in before.items():
        assert joined.setdefault(family, whole[name]) == whole[name]


def test_a_first_sentence_leaves_out_brackets_but_not_a_message_that_is_all_brackets():
    assert first_sentence("Cannot read the value {'a': <NUM>}. Try again").strip() == "Cannot read the value"
    assert "Get Food Request Failed" in first_sentence(
        "Impl [getAllFood][Get Food Request Failed][x is null]"
    )


@pytest.mark.parametrize(
    "texts",
    [
        ("unknown function 'get_weather'", 'unknown function "book flight"', "unknown function `a.b`"),
        ("expected type int got 'abc'", "expected type string got ''", 'expected type list got "a b c"'),
        (
            "Missing required parameter: 'user_id'",
            "Missing required parameter: `q`",
            'Missing required parameter: "max results"',
        ),
        (
            "book() missing 1 required positional argument: 'to'",
            "users.find() missing 2 required positional arguments: 'a' and 'b'",
            "list_files() missing 3 required positional arguments: 'a', 'b', and \"c\"",
        ),
        (
            "book() got an unexpected keyword argument 'to'",
            "users.find() got an unexpected keyword argument `x`",
        ),
        (
            "book() takes 1 positional argument but 2 were given",
            "play() takes 0 positional arguments but 3 were given",
        ),
        (
            "invalid enum value 'x' for argument 'unit': must be one of [\"a\", \"b\"]",
            'invalid enum value \'\' for argument "q": must be one of ["c d"]',
        ),
        (
            "wrong number of arguments for 'sum': expected 2, got 3 ({\"a\": 1})",
            'wrong number of arguments for \'play\': expected 12, got 0 ({"b": [1, 2], "c": "x y"})',
        ),
        (
            "'abc' is not of type 'integer'\n\nFailed validating 'type' in schema['properties']['a']:\n"
            "    {'type': 'integer'}\n\nOn instance['a']:\n    'abc'",
            "'x y' is not of type 'array'\n\nFailed validating 'type' in schema['properties']['b']:\n"
            "    {'type': 'array'}\n\nOn instance['b']:\n    'x y'",
        ),
        (
            "1 validation error for Search\nunit\n  Input should be 'a' or 'b' [type=literal_error, "
            "input_value='x', input_type=str]\n    For further information visit https://errors.example",
            "1 validation error for Book\nwhen\n  Input should be 'c d' or \"e\" [type=literal_error, "
            "input_value={'a': [1, 'b']}, input_type=dict]\n    For further information visit https://e.example",
        ),
        (
            '[{"code": "invalid_type", "path": ["unit"], "message": "Required"}]',
            '[\n  {\n    "code": "invalid_type",\n    "path": ["when"],\n    "message": "Required"\n  }\n]',
        ),
        ("User Alice Smith not found", "User Zoë not found", "User O'Neil not found"),
        ("data/unit must be string", "data/startDate must be integer"),
        (
            "get_order is not a valid tool, try one of [a, b].",
            "cart.find is not a valid tool, try one of [c].",
        ),
        ("start_date 2026-01-02 is in the past", "endDate 2025-11-30 is in the past"),
        ('{"unit": ["This field is required."]}', '{"when": ["This field is required."]}'),
        (
            "Key: 'UserDto.date' Error:Field validation for 'date' failed on the 'required' tag",
            "Key: 'Booking.unit' Error:Field validation for 'unit' failed on the 'required' tag",
        ),
        ("Unknown city: New York", "Unknown city: Rome"),
        ("No weather data available for city Rome", "No weather data available for New York"),
        ("ユーザー「bob」が見つかりません", "ユーザー「Li Wei」が見つかりません"),
        ("订单8886已取消", "订单17已取消"),
        ("rm: cannot remove ‘a b’: Device busy", "rm: cannot remove ‘c’: Device busy"),
        ("Unexpected token < in JSON at position 0", "Unexpected token u in JSON at position 12"),
        ("Benutzer “Anna” ist gesperrt worden", "Benutzer „Bert Ott“ ist gesperrt worden"),
        [
            "MaxTurnsExceeded: Max turns of the run exceeded",
            "agents.exceptions.MaxTurnsExceeded: Max turns of the run exceeded",
        ],
        [
            "Error code: 400 - This model takes 8000 tokens at most",
            "openai.BadRequestError: Error code: 400 - This model takes 9000 tokens at most",
        ],
        [
            "An error occurred when calling the Converse operation: slow down please",
            "An error occurred when calling the InvokeModel operation: slow down please",
        ],
        ["bash: jq: command not found", "bash: line 14: xmllint: command not found"],
        [
            "Invalid arguments for tool book_hotel: data/nights must be <= 30",
            "Invalid arguments for tool users.find: data/filter/age must be <= 120",
            "Invalid arguments for tool find: data must be <= 1",
        ],
        [
            "data/unit must be equal to one of the allowed values: celsius, fahrenheit",
            "data/genre must be equal to one of the allowed values: jazz",
        ],
        [
            "Wrong result for 'book(city='Rome', days=[1, {'a': 2}])'. Expected: 3",
            "Wrong result for 'mail.send(to='a b')'. Expected: 7",
        ],
    ],
    ids=lambda texts: texts[0][:30],
)
def test_calls_that_are_wrong_in_one_way_are_one_family(texts):
    _, _, family_of = grouped_of(known(list(texts)))
    assert len(set(family_of.values())) == 1


def test_a_validators_code_says_which_failure_it_is():
    finding = (
        "1 validation error for A\nx\n  Input should be a valid {} [type={}, input_value=1, input_type=x]"
    )
    kinds_of = {
        "integer": "int_type",
        "string": "string_type",
        "list": "list_type",
        "boolean": "bool_type",
        "number": "float_type",
        "dictionary": "dict_type",
    }
    _, _, family_of = grouped_of(known([finding.format(*kind) for kind in kinds_of.items()]))
    assert len(set(family_of.values())) == len(kinds_of)


def test_calls_that_are_wrong_in_different_ways_are_different_families():
    texts = [
        "unknown function 'f'",
        "Missing required parameter: 'x'",
        "f() missing 1 required positional argument: 'x'",
        "f() got an unexpected keyword argument 'x'",
        "expected type int got 'x'",
        "invalid enum value 'x' for argument 'y'",
        "'abc' is not of type 'integer'\n\nFailed validating 'type' in schema:\n    {}\n\nOn instance:\n 1",
        "'a' is a required property\n\nFailed validating 'required' in schema:\n    {}\n\nOn instance:\n {}",
        "1 validation error for A\nx\n  Field required [type=missing, input_value={}, input_type=dict]",
        "1 validation error for A\nx\n  Input should be a list [type=list_type, input_value=1, input_type=x]",
        "(1062, \"Duplicate entry 'x' for key 'y'\")",
        '{"unit": ["This field is required."]}',
        '{"unit": ["Unknown field."]}',
        "Key: 'A.b' Error:Field validation for 'b' failed on the 'required' tag",
        "Key: 'A.b' Error:Field validation for 'b' failed on the 'email' tag",
        "(2003, \"Can't connect to MySQL server on 'z'\")",
        "订单8886已取消",
        "订单8886已发货",
        "Flight status is not known",
        "Flight number is not known",
        "Database Orders is locked",
        "Table Orders is locked",
        "Invalid arguments for tool find: data/a must be integer",
        "Invalid arguments for tool find: data/a must be <= 5",
        "Invalid arguments for tool find: data/a must NOT have fewer than 2 items",
        "Invalid arguments for tool find: Unexpected end of JSON input",
        "tool call failed: the parameters do not match: errors: [`/a`: expected string, but got integer]",
        "tool call failed: the parameters do not match: errors: [missing properties: 'a']",
        "400 INVALID_ARGUMENT. The turn of a call must come after a turn of the user.",
        "400 INVALID_ARGUMENT. The number of parts is not equal to the number of calls.",
    ]
    _, _, family_of = grouped_of(known(texts))
    assert len(set(family_of.values())) == len(texts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SyntaxError: invalid syntax", "SyntaxError: f-string: unmatched '('"),
        (
            "rm: cannot remove 'a.py': No such file or directory",
            "rm: cannot remove 'b.py': No such file or directory\n"
            "rmdir: failed to remove 'x': Directory not empty",
        ),
        (
            "django-admin test: error: unrecognized arguments: --skip-checks",
            "manage.py runserver: error: unrecognized arguments: --skip-checks",
        ),
        (
            "bash: -c: line 1: unexpected EOF while looking for matching `\"'\n"
            "bash: -c: line 2: syntax error: unexpected end of file",
            "bash: -c: line 9: syntax error near unexpected token `('",
        ),
    ],
)
def test_what_a_compiler_a_shell_or_a_parser_of_options_says_is_one_pattern(one, other):
    grouped, _, _ = grouped_of(known([one, other]))
    assert grouped["pattern_id"].nunique() == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SyntaxError: invalid syntax", "SyntaxError: Unexpected token < in JSON at position 0"),
        ("rm: cannot remove 'a': No such file or directory", "rm: cannot remove 'a': Permission denied"),
        ("x: error: unrecognized arguments: --a", "x: error: the following arguments are required: name"),
    ],
)
def test_different_errors_of_one_program_stay_apart(one, other):
    grouped, _, _ = grouped_of(known([one, other]))
    assert grouped["pattern_id"].nunique() == 2


def test_a_shell_that_found_nothing_to_run_is_no_missing_file():
    _, kind_of, _ = grouped_of(
        known(["bash: /opt/ng/configure: No such file or directory", "cat: /a/b: No such file or directory"])
    )
    assert sorted(kind.rule_id for kind in kind_of.values()) == ["missing-file", "missing-program"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("error: patch failed: src/a.py:12\nerror: src/a.py: patch does not apply", "patch-refused"),
        ("1 out of 2 hunks FAILED -- saving rejects to file a.py.rej", "patch-refused"),
        ("E: Unable to locate package libfoo-dev", "missing-package"),
        ("ERROR: No matching distribution found for torch==9.9", "missing-package"),
        ("Error: could not load cache\nmake: *** [Makefile:192: build] Error 1", "build-not-configured"),
        ("sh: 1: cd: can't cd to /w/out\nmake: *** [Makefile:9: build] Error 2", "build-not-configured"),
        ("ninja: error: loading 'build.ninja': No such file or directory", "build-not-configured"),
        ("make: *** No targets specified and no makefile found.  Stop.", "build-not-configured"),
        ("-- Configuring incomplete, errors occurred!", "configure-failed"),
        ("error: could not compile `ring` due to 2 previous errors", "build-failed"),
        ("/usr/bin/python3: No module named pytest", "missing-module-of-interpreter"),
        ("python: No module named tox", "missing-module-of-interpreter"),
    ],
)
def test_patches_packages_and_builds_are_problems_of_their_own(text, rule):
    _, kind_of, _ = grouped_of(known([text]))
    assert [kind.rule_id for kind in kind_of.values()] == [rule]

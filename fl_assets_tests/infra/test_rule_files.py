"""Rule files: what is ours loads, and every mistake names file, line and rule."""

import itertools
import re
from pathlib import Path

import pytest

from fl_assets.infra.rule_files import MAX_BYTES, RuleFileError, read_record, read_rules
from fl_assets.patterns import classes
from fl_assets.patterns.classes import ClassRule, load_failure_classes
from fl_assets.patterns.grouping import load_corrections
from fl_assets.playbooks.facts import FORMULAS
from fl_assets.playbooks.remedies import BUILT_IN_REMEDIES, TEXT_FIELDS, Conditions, Remedy, load_remedies
from fl_assets.updates.policy import KeyRule, UpdatePolicy, load_policy

GOOD = """\
remedies:
  - id: mine
    when: {class: [timeout]}
    category: config
    title: Mine for {service}
    description: D
    changes:
      - {key: timeout_ms, formula: above_p99}
"""


@pytest.fixture
def rules(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "rules.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def mistakes(path: Path) -> list[str]:
    with pytest.raises(RuleFileError) as error:
        read_rules(path, Remedy, section="remedies")
    return str(error.value).splitlines()


def test_users_rules_are_tried_before_ours(rules):
    assert [one.id for one in load_remedies(rules(GOOD))][:2] == ["mine", load_remedies()[0].id]


def test_a_rule_with_an_id_of_ours_replaces_it(rules):
    ours = load_remedies()
    mixed = load_remedies(rules(GOOD.replace("mine", ours[3].id)))
    assert len(mixed) == len(ours)
    assert mixed[0].title == "Mine for {service}"


def test_the_built_in_files_are_read_as_files_of_users_are():
    assert read_rules(BUILT_IN_REMEDIES, Remedy, section="remedies") == load_remedies()
    path = Path(classes.__file__).with_name("failure_classes.yaml")
    assert read_rules(path, ClassRule, section="failure_classes") == load_failure_classes()


def test_ids_of_built_in_remedies_begin_with_their_class():
    for one in load_remedies():
        assert any(one.id.startswith(name.replace("_", "-")) for name in one.when.failure_class), one.id


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("{service}", "{template}", 2, "title: unknown field {template}"),
        ("above_p99", "eval", 8, "unknown formula 'eval'"),
        ("config", "magic", 4, "Input should be"),
        ("timeout]", "nonsense]", 3, "Input should be"),
        ("title", "titel", 5, "unknown field"),
        ("    title: Mine for {service}\n", "", 2, "Field required"),
        ("id: mine", "id: Mine!", 2, "should match pattern"),
    ],
)
def test_a_mistake_names_file_line_and_rule(rules, old, new, line, said):
    path = rules(GOOD.replace(old, new))
    found = mistakes(path)
    name = "Mine!" if "Mine!" in new else "mine"
    assert any(one.startswith(f"{path}:{line}: {name}: ") and said in one for one in found), found


def test_all_mistakes_of_a_file_are_named_at_once(rules):
    path = rules(
        GOOD
        + GOOD.removeprefix("remedies:\n").replace("mine", "two").replace("config", "a")
        + GOOD.removeprefix("remedies:\n")
    )
    found = mistakes(path)
    assert [int(re.match(rf"{path}:(\d+):", one).group(1)) for one in found] == [11, 16]
    assert "taken by the rule in line 2" in found[1]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in itertools.pairwise("abcdefghi")
)
"""Nine lines that stand for a billion values."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("remedies: [", ":1: "),
        ("remedies:\n  - id: a\n\tb: c\n", ":3: "),
        ("- a\n", "expected a YAML mapping"),
        ("rules: []\n", ":1: unknown key 'rules'; must be 'remedies'"),
        ("remedies: 3\n", "must be a list"),
        ("remedies:\n- 3\n", ":2: rule 1 of remedies"),
        ("remedies:\n- {id: a, id: b}\n", "duplicate key"),
        (b"remedies: \xff\n", "rules.yaml:1: "),
        ("remedies:\n- !!python/object/apply:os.system ['true']\n", ":2: rule 1"),
        ("a" * (MAX_BYTES + 1), "bytes; must have"),
        (BOMB.replace("a:", "remedies:", 1), "more than 200000 values"),
        (f"remedies: [{{id: a, priority: {'9' * 5000}}}]\n", ":1: is no YAML that can be read"),
        (f"remedies: [{{id: a, priority: 0x{'f' * 5000}}}]\n", "more than 1024"),
        ("remedies: [{id: 2026-13-45}]\n", "month must be in 1..12"),
    ],
)
def test_what_is_no_list_of_rules_is_refused_by_name(rules, text, said):
    assert said in mistakes(rules(text))[0]


def test_an_empty_file_has_no_rules_and_a_missing_one_is_an_error(rules, tmp_path):
    assert read_rules(rules("# nothing yet\n"), Remedy, section="remedies") == ()
    with pytest.raises(RuleFileError, match="cannot be read"):
        load_remedies(tmp_path / "none.yaml")


def test_a_policy_is_one_record_and_its_mistakes_have_lines_too(rules):
    text = "keys:\n  - {id: t, file: a.toml, key: x.y, change: timeout_ms, type: int, min: 1, max: 9}\n"
    assert read_record(rules(text), UpdatePolicy).keys[0].key == ("x", "y")
    path = rules(text.replace("a.toml", "../a.toml"))
    with pytest.raises(RuleFileError) as error:
        read_record(path, UpdatePolicy)
    assert str(error.value).startswith(f"{path}:2: keys.0.file = '../a.toml': ")


def test_failure_classes_load_and_without_a_file_nobody_corrected_anything_and_no_key_may_change(rules):
    assert load_failure_classes()
    assert load_corrections(None) == load_corrections(rules("# nothing yet\n"))
    assert load_policy(None) == load_policy(rules("# nothing yet\n")) == UpdatePolicy()
    with pytest.raises(RuleFileError, match=r"rules\.yaml:1: "):
        load_corrections(rules("nonsense: 1\n"))


# The documentation
# ----------------------------------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"


def example(name: str) -> str:
    return (DOCS / name).read_text().split("```yaml\n")[1].split("```")[0]


def test_the_documented_rules_load_and_show_every_condition_formula_and_field(rules):
    (one,) = read_rules(rules(example("remedies.md")), Remedy, section="remedies")
    assert one.when.model_fields_set == set(Conditions.model_fields)
    text = (DOCS / "remedies.md").read_text()
    assert [name for name in (*FORMULAS, *TEXT_FIELDS) if f"`{name}`" not in text] == []


def test_the_mistake_that_the_documentation_quotes_is_what_one_sees(rules):
    path = rules(example("remedies.md").replace("above_slowest", "eval"))
    seen = mistakes(path)[0].replace(str(path.parent) + "/", "")
    quoted = (DOCS / "remedies.md").read_text().split("mended:\n`")[1].split("…`")[0]
    assert seen.startswith(quoted)


def test_the_documented_policy_loads_and_shows_every_field(rules):
    policy = read_record(rules(example("update-policy.md")), UpdatePolicy)
    assert set().union(*(rule.model_fields_set for rule in policy.keys)) == set(KeyRule.model_fields)

"""One word, one meaning: the glossary against the public names of the product and its columns."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from fl_assets.core.tables import TABLES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fl_assets"
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
NOT_OF_THE_FIELD = {"told", "teller", "tell", "anew", "hang", "spent"}
"""Words of earlier releases that an engineer in the field would not use of these things."""
ALLOWED = {"spent": {"NodeSummaries.spent"}}
"""A privacy budget is spent: that is the field's word."""


def public_names() -> dict[str, list[str]]:
    """Classes, functions, methods and constants that begin with no underscore, with their files."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.append(node.name)
            if isinstance(node, ast.ClassDef):
                names += [f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)]
            if isinstance(node, ast.Assign):
                names += [one.id for one in node.targets if isinstance(one, ast.Name)]
            for name in names:
                if not any(part.startswith("_") for part in name.split(".")):
                    found[name].append(str(path.relative_to(PACKAGE)))
    return found


def words_of(name: str) -> set[str]:
    """The words of a name in any case: `TelemetryIndex.why_nothing` has telemetry, index, why and nothing."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_no_class_name_has_two_meanings():
    files: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(str(path.relative_to(PACKAGE)))
    assert len(files) > 200
    assert {name: found for name, found in files.items() if len(found) > 1} == {}


def test_every_word_of_the_glossary_is_a_word_of_the_product():
    named = {word for name in public_names() for word in words_of(name)}
    named |= {
        word
        for table in TABLES.values()
        for name in (table.name, *table.column_names)
        for word in words_of(name)
    }
    defined = re.findall(r"^\| \*\*([a-z]+)\*\*", GLOSSARY, re.MULTILINE)
    assert len(defined) > 35
    assert defined == sorted(defined)
    assert [word for word in defined if not {word, f"{word}s", f"{word[:-1]}ies"} & named] == []


def test_no_public_name_has_a_word_that_the_field_does_not_use():
    found = {
        name
        for name in public_names()
        for word in words_of(name) & NOT_OF_THE_FIELD
        if name not in ALLOWED.get(word, ())
    }
    assert found == set()

"""Rules of the project as tests: layers, exported names, the definitions, the lock file."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import fl_assets

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fl_assets"

LAYERS = {
    "domain": 0,
    "storage": 1,
    "partitions": 2,
    "launcher": 2,
    "resources": 2,
    "metadata": 2,
    "pictures": 2,
    "gate": 2,
    "rollout": 2,
    "spark_job": 2,
    "assets": 3,
    "checks": 4,
    "automation": 5,
    "definitions": 6,
    "coordinator": 6,
    "console": 6,
    "cli": 6,
}
PURE = {"models", "settings"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def imports_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer_of(dotted: str) -> int | None:
    parts = dotted.split(".")
    return LAYERS[parts[1]] if parts[0] == "fl_assets" and len(parts) > 1 and parts[1] in LAYERS else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_its_own_layer_or_lower_ones(path):
    own = LAYERS[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]
    above = [name for name in imports_of(path) if (layer_of(name) or 0) > own]
    assert not above, f"layer {own} imports {above}"


@pytest.mark.parametrize("path", [path for path in MODULES if "domain" in path.parts or "storage" in path.parts], ids=lambda path: path.name)
def test_domain_and_storage_know_no_dagster(path):
    assert not [name for name in imports_of(path) if name.split(".")[0].startswith("dagster")]


@pytest.mark.parametrize("path", [path for path in MODULES if "domain" in path.parts], ids=lambda path: path.name)
def test_the_domain_does_no_io_and_reads_no_clock(path):
    names = imports_of(path)
    assert not [
        name for name in names if name.split(".")[0] in {"duckdb", "sqlite3", "requests", "httpx", "huggingface_hub", "os", "shutil", "tempfile", "time"}
    ]
    text = path.read_text()
    assert not re.search(r"\b(datetime\.now|date\.today|utcnow|open\(|read_text|write_text|read_bytes|write_bytes)\b", text)


def test_models_and_settings_use_nothing_of_the_domain():
    for name in PURE:
        used = [found for found in imports_of(PACKAGE / "domain" / f"{name}.py") if found.startswith("fl_assets.")]
        assert not [found for found in used if found.split(".")[2] not in PURE], used


def test_every_module_says_what_goes_here():
    for path in [*MODULES, *PACKAGE.rglob("__init__.py")]:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_the_package_exports_its_api():
    assert set(fl_assets.__all__) == {"FederatedLearningConfig", "FederatedLearningCoordinator"}
    with pytest.raises(AttributeError, match="exports FederatedLearningConfig"):
        _ = fl_assets.Nothing


def test_the_lock_files_are_hashed_and_name_no_index():
    for path in (ROOT / "requirements.lock", ROOT / "benchmarks" / "requirements.lock", ROOT / "benchmarks" / "spark.lock"):
        text = path.read_text()
        pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pins
        assert all("==" in line for line in pins)
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= len(pins)
        assert "://" not in text
        assert "index-url" not in text


def test_the_lock_file_holds_every_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.match(r"[A-Za-z0-9_.-]+", entry)[0].replace("_", "-").lower() for entry in wanted}
    pinned = {line.split("==")[0].split("[")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    assert names <= pinned, names - pinned


def test_the_data_folder_is_ignored_but_for_its_readme():
    rules = (ROOT / ".gitignore").read_text().splitlines()
    assert "/data/*" in rules
    assert "!/data/README.md" in rules

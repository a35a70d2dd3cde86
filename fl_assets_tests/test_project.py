"""Rules of the project as tests: layers, exported names, the definitions, the lock file."""

import ast
import ctypes
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fl_assets

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fl_assets"

STAGES = (
    "core",
    "infra",
    "events",
    "sources",
    "sums",
    "patterns",
    "playbooks",
    "adapters",
    "updates",
    "federation",
    "report",
    "spark",
    "simulator",
)
"""A stage imports itself and those before it."""
LAYERS = {
    **{stage: place for place, stage in enumerate(STAGES)},
    "workspace": 20,
    "defs": 21,
    "launcher": 22,
    "definitions": 22,
    "coordinator": 23,
    "cli": 24,
}
DOES_IO = {
    "adapters/examine.py",
    "adapters/folder.py",
    "adapters/hub.py",
    "adapters/install.py",
    "adapters/memory.py",
    "adapters/model_bundles.py",
    "adapters/publish.py",
    "adapters/store.py",
    "adapters/vllm.py",
    "adapters/web.py",
    "core/data.py",
    "events/across_files.py",
    "events/commit.py",
    "events/count.py",
    "events/duplicates.py",
    "events/quarantine.py",
    "events/engine.py",
    "events/pii_names.py",
    "events/find.py",
    "events/index.py",
    "events/index_schema.py",
    "events/ingest.py",
    "events/inspect.py",
    "events/read.py",
    "events/redaction/likelihood.py",
    "events/reingest.py",
    "events/side_rows.py",
    "events/stage.py",
    "federation/coordinator_side.py",
    "federation/files_seen.py",
    "federation/node_side.py",
    "infra/bucket_files.py",
    "infra/cycle_log.py",
    "infra/clock.py",
    "infra/disk.py",
    "infra/duckdb_file.py",
    "infra/duckdb_kept.py",
    "infra/first_day.py",
    "infra/http.py",
    "infra/keys.py",
    "infra/lake.py",
    "infra/lake_views.py",
    "infra/mirror.py",
    "infra/remote_lake.py",
    "infra/result_files.py",
    "infra/sqlite_file.py",
    "infra/time_limit.py",
    "infra/rule_files.py",
    "infra/warehouse.py",
    "patterns/store.py",
    "playbooks/files.py",
    "report/alerts.py",
    "report/page.py",
    "report/rows.py",
    "simulator/write.py",
    "sources/api.py",
    "sources/pull.py",
    "sums/engine.py",
    "sums/recount.py",
    "spark/division.py",
    "spark/engine.py",
    "spark/job.py",
    "spark/tasks.py",
    "updates/config_files.py",
    "updates/end_store.py",
    "updates/log.py",
    "updates/node_side.py",
    "updates/releases.py",
    "updates/rollout.py",
}
"""Files of the stages that read or write; all others only compute."""
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


STAGE_MODULES = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] in STAGES]


@pytest.mark.parametrize("path", STAGE_MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_stages_know_no_dagster(path):
    assert (
        not [name for name in imports_of(path) if name.split(".")[0].startswith("dagster")]
        or path.parent.name == "spark"
    )


@pytest.mark.parametrize(
    "path",
    [path for path in STAGE_MODULES if str(path.relative_to(PACKAGE)) not in DOES_IO],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_only_files_that_say_so_do_io_or_read_the_clock(path):
    names = imports_of(path)
    assert not [
        name
        for name in names
        if name.split(".")[0]
        in {"duckdb", "sqlite3", "requests", "httpx", "huggingface_hub", "os", "shutil", "tempfile", "time"}
    ]
    text = path.read_text()
    assert not re.search(
        r"\b(datetime\.now|date\.today|utcnow|open\(|read_text|write_text|read_bytes|write_bytes)\b", text
    )


def test_models_and_settings_use_nothing_of_the_domain():
    for name in PURE:
        used = [
            found for found in imports_of(PACKAGE / "core" / f"{name}.py") if found.startswith("fl_assets.")
        ]
        assert not [found for found in used if found.split(".")[2] not in PURE], used


def test_every_module_says_what_goes_here():
    for path in [*MODULES, *PACKAGE.rglob("__init__.py")]:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_the_package_exports_its_api():
    assert set(fl_assets.__all__) == {"FederatedLearningConfig", "FederatedLearningCoordinator"}
    with pytest.raises(AttributeError, match="exports FederatedLearningConfig"):
        _ = fl_assets.Nothing


def test_the_lock_files_are_hashed_and_name_no_index():
    for path in (
        ROOT / "requirements.lock",
        ROOT / "benchmarks" / "requirements.lock",
        ROOT / "benchmarks" / "spark.lock",
    ):
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
    pinned = {
        line.split("==")[0].split("[")[0]
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    assert names <= pinned, names - pinned


def test_the_data_folder_is_ignored_but_for_its_readme():
    rules = (ROOT / ".gitignore").read_text().splitlines()
    assert "/data/*" in rules
    assert "!/data/README.md" in rules


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="the C library is not glibc")
def test_arrow_allocates_as_the_system_does_and_that_in_four_arenas_so_that_ended_threads_leave_no_pages():
    code = """
import ctypes, threading
import fl_assets, pyarrow
together = threading.Barrier(8)
threads = [threading.Thread(target=lambda: (bytearray(100_000), together.wait())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(pyarrow.default_memory_pool().backend_name)
ctypes.CDLL(None).malloc_stats()  # to stderr
"""
    ours = {"ARROW_DEFAULT_MEMORY_POOL", "MALLOC_ARENA_MAX"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "system"
    assert done.stderr.count("Arena ") == 4

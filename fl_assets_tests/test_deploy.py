"""What `deploy/` says is in step with the code: variables, modules, commands, Dagster's own settings."""

import importlib.util
import re
from importlib.metadata import entry_points
from pathlib import Path

import yaml

from fl_assets.core.settings import PREFIX, FederatedLearningConfig

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
VALUES = yaml.safe_load((DEPLOY / "values.yaml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
INSTANCE = yaml.safe_load((ROOT / "dagster.yaml").read_text())
(CODE,) = VALUES["dagster-user-deployments"]["deployments"]
POD = (
    "affinity annotations image labels nodeSelector podSecurityContext resources schedulerName "
    "securityContext tolerations volumeMounts volumes"
)
PROBES = "livenessProbe readinessProbe startupProbe"
CHART_FIELDS = {
    "": "additionalInstanceConfig busybox computeLogManager concurrency dagster-user-deployments "
    "dagsterDaemon dagsterWebserver flower generateCeleryConfigSecret "
    "generatePostgresqlPasswordSecret global imagePullSecrets ingress migrate postgresql pythonLogs "
    "rabbitmq redis retention runLauncher scheduler serviceAccount telemetry",
    "global": "celeryConfigSecretName dagsterHome dagsterInstanceConfigMap postgresqlSecretName "
    "serviceAccountName",
    "postgresql": "enabled image postgresqlDatabase postgresqlHost postgresqlParams postgresqlPassword "
    "postgresqlScheme postgresqlUsername service",
    "postgresql service": "port",
    "dagster-user-deployments": "deployments enableSubchart enabled imagePullSecrets",
    "dagster-user-deployments deployments": "codeServerArgs dagsterApiGrpcArgs env envConfigMaps "
    f"envSecrets includeConfigInLaunchedRuns name port {POD} "
    f"{PROBES}",
    "dagster-user-deployments deployments image": "pullPolicy repository tag",
    "dagster-user-deployments deployments includeConfigInLaunchedRuns": "enabled",
    "runLauncher": "config type",
    "runLauncher config": "celeryK8sRunLauncher customRunLauncher k8sRunLauncher",
    "runLauncher config k8sRunLauncher": "envConfigMaps envSecrets envVars failPodOnRunFailure image "
    "imagePullPolicy jobNamespace kubeconfigFile labels "
    "loadInclusterConfig "
    "resources runK8sConfig schedulerName securityContext volumeMounts volumes",
    "runLauncher config k8sRunLauncher runK8sConfig": "containerConfig jobMetadata jobSpecConfig "
    "podSpecConfig podTemplateSpecMetadata",
    "dagsterDaemon": "deploymentLabels enabled env envConfigMaps envSecrets heartbeatTolerance "
    f"runCoordinator runMonitoring runRetries schedules sensors {POD} {PROBES}",
    "dagsterDaemon runCoordinator": "config enabled type",
    "dagsterDaemon runCoordinator config": "customRunCoordinator queuedRunCoordinator",
    "dagsterDaemon runCoordinator config queuedRunCoordinator": "dequeueIntervalSeconds dequeueNumWorkers "
    "dequeueUseThreads maxConcurrentRuns "
    "tagConcurrencyLimits",
}
"""What the sources of the chart's schema (dagster-io/dagster, helm/dagster/schema) name in each object whose
fields are the chart's own, not Kubernetes'.
"""


def test_every_variable_is_a_setting_and_its_value_is_allowed(monkeypatch):
    text = "\n".join((DEPLOY / name).read_text() for name in ("values.yaml", "compose.yaml", "Dockerfile"))
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", text))
    assert named <= {PREFIX + name.upper() for name in FederatedLearningConfig.model_fields}
    by_helm = {entry["name"]: entry["value"] for entry in CODE["env"]}
    by_compose = {
        name: value
        for name, value in COMPOSE["services"]["code"]["environment"].items()
        if name.startswith(PREFIX)
    }
    for given in (by_helm, by_compose):
        for name, value in given.items():
            monkeypatch.setenv(name, re.sub(r"\$\{.*?\}", "hush", value))
        assert FederatedLearningConfig.from_env().lake_path == Path("/lake")


def test_every_field_of_the_chart_that_is_set_is_one_that_the_chart_has():
    for place, fields in CHART_FIELDS.items():
        found = VALUES
        for name in re.findall(r"\S+", place):
            found = found[0][name] if isinstance(found, list) else found[name]
        for one in found if isinstance(found, list) else [found]:
            assert set(one) <= set(fields.split()), place


def test_each_place_that_is_written_to_lies_on_a_volume():
    mounted = {entry["mountPath"] for entry in CODE["volumeMounts"]}
    assert {entry["name"] for entry in CODE["volumeMounts"]} == {entry["name"] for entry in CODE["volumes"]}
    assert mounted == {volume.rsplit("}", 1)[-1].split(":")[1] for volume in COMPOSE["x-fleet"]["volumes"]}
    for entry in CODE["env"]:
        if entry["name"].endswith("_PATH"):
            assert Path("/", *Path(entry["value"]).parts[1:2]).as_posix() in mounted, entry


def test_every_command_and_module_is_there():
    commands = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    scripts = {script.name for script in entry_points(group="console_scripts")}
    assert commands
    assert {command[0] for command in commands} <= scripts
    modules = re.findall(
        r"--module-name\W+([\w.]+)",
        (DEPLOY / "Dockerfile").read_text() + str(commands) + str(CODE["dagsterApiGrpcArgs"]),
    )
    assert len(modules) == 3
    assert all(importlib.util.find_spec(name) for name in modules)


def test_the_chart_runs_as_dagster_yaml_says():
    daemon = VALUES["dagsterDaemon"]
    assert (
        daemon["runCoordinator"]["config"]["queuedRunCoordinator"]["maxConcurrentRuns"]
        == INSTANCE["concurrency"]["runs"]["max_concurrent_runs"]
    )
    assert VALUES["additionalInstanceConfig"] == {
        name: INSTANCE[name] for name in ("run_monitoring", "run_retries")
    }
    assert not daemon["runMonitoring"]["enabled"], "or the chart would write the key twice"
    assert not daemon["runRetries"]["enabled"]
    assert VALUES["telemetry"]["enabled"] == INSTANCE["telemetry"]["enabled"]


def test_the_image_copies_what_is_there_runs_as_nobody_in_particular_and_pins_by_hash():
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split()), line
    assert text.index("USER fleet") < text.index("CMD")
    assert "--require-hashes" in text
    lock = (DEPLOY / "requirements.lock").read_text()
    pins = [line for line in lock.splitlines() if line and not line.startswith(" ")]
    assert {"dagster-postgres", "dagster-k8s", "hatchling"} <= {pin.split("==")[0] for pin in pins}
    assert not {pin.split("==")[0] for pin in pins} & {"pytest", "ruff", "playwright"}
    assert all("==" in pin for pin in pins)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", lock)) >= len(pins)
    assert "://" not in lock + text.replace("docker build", "")

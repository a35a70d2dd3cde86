"""Every setting of the coordinator, read from the environment in one place.

What goes here: names, defaults, bounds and validation. What does not: anything that acts on a setting.
"""

import difflib
import hashlib
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

PREFIX = "FEDERATED_LEARNING_"
DAY_SECS = 86_400
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class SettingsError(ValueError):
    """One or more environment variables hold a value that breaks their rule; the text names each."""


def _as_switch(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError("must be one of 1/true/yes/on or 0/false/no/off, in any case")


Switch = Annotated[bool, BeforeValidator(_as_switch)]


def _as_words(value: Any) -> Any:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_as_words)]


_REMOTE = re.compile(r"(s3|gs|az|abfss?|memory)://[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._=-]+)*/?")


def _as_place(value: Any) -> Any:
    """Read a folder as a path; the URL of an object store stays text, and cannot hold a password."""
    if not isinstance(value, str) or "://" not in value:
        return Path(value) if isinstance(value, str) else value
    if value.startswith("file:///"):
        return Path(value.removeprefix("file://"))
    if _REMOTE.fullmatch(value) and "/.." not in value:
        return value.rstrip("/")
    raise ValueError(
        "must be a folder, or a URL like s3://bucket/prefix, gs://bucket/prefix or "
        "az://account/container/prefix that holds no user, password or query"
    )


def plain_url(value: str) -> str:
    """Return the URL of a server without a trailing slash; '' stays ''.

    Raises:
        ValueError: it is no http URL, or has a part that may be a secret.
    """
    parts = urlsplit(value)
    if value and (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username
        or parts.password
        or parts.query
        or parts.fragment
    ):
        raise ValueError(
            "must be a URL that starts with https:// or http:// and holds no user, password or query"
        )
    return value.rstrip("/")


PlainUrl = Annotated[str, AfterValidator(plain_url)]


class FederatedLearningConfig(BaseSettings):
    """Settings of one coordinator; each field is the environment variable `FEDERATED_LEARNING_<FIELD>`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, use_attribute_docstrings=True
    )

    # Schedule
    enabled: Switch = True
    """Whether the schedule and the sensors start runs."""
    cycle_interval_secs: int = Field(DAY_SECS, ge=60)
    """Seconds between cycles: whole days, or whole minutes that divide a day."""
    min_events: int = Field(1000, ge=1)
    """Events that a cycle's window must hold before anything is learned."""
    max_window_days: int = Field(7, ge=1, le=31)
    """Longest window: days that a day with few events is analysed with."""
    start_date: date = date(2023, 1, 1)
    """First daily partition (UTC); older events are refused. When not given, partitions begin at the first
    day of telemetry."""
    # Paths
    data_path: Path = Path("./data")
    """Folder of all that the coordinator keeps: lake, warehouse, reports, adapters. Telemetry is read from
    FEDERATED_LEARNING_TELEMETRY_PATH, which this does not move."""
    telemetry_path: Annotated[Path | str, BeforeValidator(_as_place)] = Path("./data/telemetry/cache")
    """Folder of telemetry files, searched at any depth, or `s3://bucket/prefix`, `gs://` or `az://` (needs
    the [object-storage] extra), whose new objects are fetched below the data folder."""
    sources_path: Path | None = None
    """Servers that traces are pulled from, day by day (YAML, docs/connect.md)."""
    error_records_path: Path = Path("./data/self-improve/records")
    """Folder of the self-improvement engine's error records (JSON or JSONL). FEDERATED_LEARNING_DATA_PATH
    does not move it."""
    playbook_path: Path = Field(
        default_factory=lambda settings: settings["data_path"] / "federated-learning" / "playbooks"
    )
    """Folder the playbook JSON files are written to, below the data folder when not given."""
    lake_path: Annotated[Path | str, BeforeValidator(_as_place)] = Field(
        default_factory=lambda settings: settings["data_path"] / "lake"
    )
    """Folder of the events as Parquet, `lake` below the data folder when not given, or `s3://bucket/prefix`,
    `gs://` or `az://` (needs the [object-storage] extra); coordinators on several machines may share it
    (docs/scaling.md)."""
    # Engine
    engine: Literal["duckdb", "spark"] = "duckdb"
    """What reads, redacts and sums events: in process, or a Spark job (docs/engines.md)."""
    spark_master: str = Field("local[*]", min_length=1)
    """Cluster that a Spark job runs on: local[N], spark://host:port, yarn or k8s://..."""
    # Ingestion
    max_bad_ratio: float = Field(0.05, ge=0, le=1)
    """Share of malformed lines above which a day's check fails."""
    max_line_bytes: int = Field(1_048_576, ge=1024)
    """Longest line that is parsed, bytes; longer ones are quarantined."""
    memory_mb: int = Field(1500, ge=1000)
    """Memory for ingestion and sums, megabytes; beyond it, redacted rows spill to disk."""
    retention_days: int = Field(0, ge=0)
    """Days for which raw events are kept; 0 keeps them forever. Signatures stay."""
    node_attributes: Words = ()
    """Attributes of spans and resources that name the node, in order, comma-separated
    (`k8s.deployment.name,host.name`); empty for the built-in order (docs/formats.md)."""
    pii: Switch = False
    """Also mask person names and addresses (needs the [pii] extra)."""
    # Evidence
    threshold: float = Field(0.7, gt=0, le=1)
    """Confidence that a playbook must reach."""
    min_nodes: int = Field(3, ge=1)
    """Nodes that must have a pattern before it is acted on; with 1, users or sessions count."""
    false_discovery_rate: float = Field(0.1, gt=0, lt=1)
    """Expected share of false patterns among a day's actionable ones."""
    # Updates
    apply: Literal["off", "stage", "canary", "on"] = "stage"
    """How far updates go: off, stage (prepare only), canary, or on."""
    remedies_path: Path | None = None
    """Your remedy rules (YAML); a rule with the id of a built-in one replaces it."""
    mapping_path: Path | None = None
    """Your mappings of JSON fields to calls and turns (YAML, docs/formats.md)."""
    corrections_path: Path | None = None
    """Your pattern merges and splits (YAML)."""
    update_policy_path: Path | None = None
    """Which config keys may change, with types and bounds (YAML); when not given, `agents/policy.yaml` below
    the data folder, if it is there."""
    channel: str = Field("stable", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    """Channel whose nodes read `releases/<channel>.json`."""
    release_days: int = Field(7, ge=1, le=90)
    """Days until a release expires; nodes then drop it. It is signed again at half of them."""
    signing_key_path: Path | None = None
    """Ed25519 private key (PEM) that signs releases; made under the data folder when not given."""
    canary_share: float = Field(0.1, gt=0, le=0.5)
    """Share of the affected nodes that take a change first."""
    canary_min_nodes: int = Field(3, ge=2)
    """Nodes that both the canary and the untouched group must have."""
    max_canary_days: int = Field(14, ge=2, le=90)
    """Days after which a trial without a clear result is rolled back."""
    # Adapters
    trace_url: str = ""
    """Link to a trace in your tracing tool, with `{trace_id}` for the id."""
    writer_url: PlainUrl = ""
    """OpenAI-compatible server, such as `http://localhost:11434/v1`, whose model writes a title and
    explanation beside each exported playbook (docs/hand-off.md); empty for none."""
    writer_model: str = ""
    """Model of that server."""
    writer_key: SecretStr | None = Field(None, exclude=True)
    """Key of that server (a secret, read from the environment and never shown)."""
    adapter_repos: Words = ()
    """Hub repositories of adapters, comma-separated: `org/name` or `org/name@revision`."""
    adapter_url: PlainUrl = ""
    """Server with a plain list of adapters at `<url>/list`."""
    adapter_hosts: Words = ()
    """Further hosts that downloads may be redirected to, e.g. `*.cdn.example`."""
    trusted_keys_path: Path | None = None
    """Folder of the Ed25519 public keys (`<name>.pem`) that are trusted."""
    require_signature: Switch = True
    """Whether an adapter without a signature by a trusted key is refused."""
    adapter_oms_key_path: Path | None = None
    """Public EC key (PEM); when set, an adapter also needs an OpenSSF model-signing bundle `model.sig` by it
    (needs the [oms] extra)."""
    base_model: str = ""
    """Base model that the nodes run, e.g. `Qwen/Qwen3-8B`; without it no adapter is admitted."""
    base_revision: str = ""
    """Revision of the base model that the nodes run."""
    max_lora_rank: int = Field(16, ge=1, le=512)
    """Highest rank that the nodes' server takes (vLLM: --max-lora-rank)."""
    lora_targets: Words = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), min_length=1
    )
    """Modules that an adapter may change."""
    max_adapter_bytes: int = Field(1_073_741_824, ge=1024)
    """Largest adapter that is downloaded, bytes."""
    keep_versions: int = Field(3, ge=2)
    """Installed versions kept of each adapter, always the one in use and the one before it."""
    vllm_url: PlainUrl = ""
    """vLLM server that an adapter is loaded into when it is switched to."""
    # Federation: a node that sends summaries, and the coordinator that takes them
    node_id: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$")
    """On a node: its name in summaries; by default the one in its telemetry."""
    node_key_path: Path | None = None
    """On a node: Ed25519 private key (PEM) that signs summaries; made under the data folder when not
    given."""
    summary_min_sessions: int = Field(3, ge=1)
    """Sessions that must have a text before a summary holds it; as on the coordinator."""
    summary_epsilon: float = Field(0.0, ge=0, le=100)
    """Epsilon of the noise on a day's summary, 0 for none; as on the coordinator."""
    summary_budget: float = Field(30.0, gt=0)
    """On a node: the most that SUMMARY_EPSILON may add up to over any 30 days; beyond it nothing is sent."""
    summary_delta: float = Field(0.0, ge=0, le=0.01)
    """On a node: chance that one session brings a name of its own into a day's summary with noise, such as
    0.00001; 0 leaves names to SUMMARY_MIN_SESSIONS."""
    summaries_path: Path = Path("./data/federated-learning/summaries")
    """Folder of nodes' summaries, searched at any depth. FEDERATED_LEARNING_DATA_PATH does not move it."""
    node_keys_path: Path = Path("./data/federated-learning/node-keys")
    """Folder of nodes' Ed25519 public keys (`<node>.pem`) whose summaries are taken."""
    summary_min_nodes: int = Field(3, ge=1)
    """Nodes that must have a pattern that only summaries report before it is shown."""
    # Dagster and its UI
    dagster_postgres_url: SecretStr | None = Field(None, exclude=True)
    """PostgreSQL database of Dagster's runs and events, instead of files below the data folder:
    postgresql+psycopg2://user:password@host/database (needs the [postgres] extra; it is a secret, read from
    the environment and never shown)."""
    ui_hosts: Words = ()
    """Further host names that the webserver of `fl-assets dev` and `fl-assets serve` answers to: those of the
    reverse proxy."""
    # Alerts
    alert_webhook: SecretStr | None = Field(None, exclude=True)
    """Where alerts are posted, as Slack reads them (a URL; it is a secret, read from the environment and
    never shown)."""

    @field_validator("cycle_interval_secs")
    @classmethod
    def _interval_fits_days(cls, value: int) -> int:
        whole_days = value % DAY_SECS == 0
        divides_a_day = value <= DAY_SECS and DAY_SECS % value == 0 and value % 60 == 0
        if whole_days or divides_a_day:
            return value
        raise ValueError(
            f"must be a multiple of {DAY_SECS} (a day), or a whole number of minutes that divides "
            "it (e.g. 3600, 21600)"
        )

    @field_validator("data_path")
    @classmethod
    def _databases_can_be_opened_there(cls, value: Path) -> Path:
        if re.search("[?]|%[0-9A-Fa-f]{2}", str(value.absolute())):
            raise ValueError(
                "must be an absolute path without ?, and without % before two hexadecimal digits, which "
                "DuckDB and Dagster's SQLite take for options and escapes"
            )
        return value

    @field_validator("alert_webhook")
    @classmethod
    def _webhook_is_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or value.get_secret_value().startswith(("https://", "http://")):
            return value
        raise ValueError("must be a URL that starts with https:// or http://")

    @field_validator("trace_url")
    @classmethod
    def _trace_url_is_a_link(cls, value: str) -> str:
        if value and not (value.startswith(("https://", "http://")) and "{trace_id}" in value):
            raise ValueError("must be a URL that starts with https:// or http:// and has {trace_id} in it")
        return value

    @field_validator("dagster_postgres_url")
    @classmethod
    def _database_is_named_by_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        # SQLAlchemy 2.1 takes plain postgresql:// for psycopg 3, which dagster-postgres does not install. Its
        # errors may quote the password, so a URL that it could not read is refused here.
        parts = urlsplit(value.get_secret_value() if value else "")
        try:
            is_url = (
                parts.scheme == "postgresql+psycopg2"
                and parts.path.strip("/")
                and not parts.fragment
                and parts.port != 0
            )
        except ValueError:  # the port is no number
            is_url = False
        if value is None or is_url:
            return value
        raise ValueError(
            "must be a URL like postgresql+psycopg2://user:password@host:5432/database, special "
            "characters of the password in the form %40"
        )

    @field_validator("retention_days")
    @classmethod
    def _retention_spans_a_window(cls, value: int, info: ValidationInfo) -> int:
        window = info.data.get("max_window_days", 0)
        if 0 < value < window:
            raise ValueError(
                f"must be 0 (keep forever) or at least {PREFIX}MAX_WINDOW_DAYS ({window}), since a "
                "window is recounted"
            )
        return value

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Read the environment; `overrides` win over it.

        Raises:
            SettingsError: naming each variable, the value it holds and the rule that the value breaks; or
                a variable with the prefix that is no setting, with the nearest one.
        """
        unknown = _unknown(EnvSettingsSource(cls).env_vars, cls.model_fields)
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            raise SettingsError("\n".join([*unknown, *_explain(error, cls.model_fields)])) from error
        if unknown:
            raise SettingsError("\n".join(unknown))
        return settings

    @property
    def lake_folder(self) -> Path:
        """Local folder that the lake is read from: the lake itself, or its mirror."""
        return self._local(self.lake_path, "lake-mirror")

    @property
    def policy_path(self) -> Path | None:
        """The update policy that is set, else the one in the data folder, else None."""
        beside = self.data_path / "agents" / "policy.yaml"
        return self.update_policy_path or (beside if beside.exists() else None)

    @property
    def telemetry_folder(self) -> Path:
        """Local folder that telemetry is read from: the one that is set, or the copy of a bucket."""
        return self._local(self.telemetry_path, "telemetry-mirror")

    def _local(self, place: Path | str, mirror: str) -> Path:
        if isinstance(place, Path):
            return place
        return self.data_path / mirror / hashlib.sha256(place.encode()).hexdigest()[:12]

    @property
    def reports_path(self) -> Path:
        """Folder of the daily reports, each a page and its JSON."""
        return self.data_path / "reports"

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file with every result table."""
        return self.data_path / "warehouse.duckdb"


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def _unknown(environment: Iterable[str], fields: Iterable[str]) -> list[str]:
    """Return a line for each variable with the prefix that is no setting, such as a misspelt one."""
    known, lines = [variable(name) for name in fields], []
    for name in sorted({name.upper() for name in environment}):  # their case does not matter
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            lines.append(
                f"{name}: unknown setting; "
                f"{f'did you mean {near[0]}?' if near else 'unset it (docs/settings.md lists all)'}"
            )
    return lines


def _explain(error: ValidationError, fields: dict[str, FieldInfo]) -> list[str]:
    """Return a line for each value that breaks its rule: variable, value, rule, and what to do."""
    lines = []
    for problem in error.errors():
        if problem["type"] == "default_factory_not_called":  # follows from another, reported value
            continue
        field = str(problem["loc"][0]) if problem["loc"] else ""
        name = variable(field)
        if field not in fields:
            lines.append(f"{name}: unknown setting")
            continue
        rule = (
            problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "value_error"
            else rule_of(fields[field])
        )
        given = re.sub(
            r"(://\S*)\?\S*", r"\1?***", re.sub(r"://\S*@", "://***@", str(problem["input"]))
        )  # a secret may hold a slash
        value = "(not shown)" if SecretStr in get_args(fields[field].annotation) else repr(given)
        default = fields[field].get_default()
        if isinstance(default, tuple):
            default = ",".join(default)
        elif isinstance(default, bool):
            default = str(default).lower()
        usual = "" if default in (None, "") else f" for the default {default}"
        lines.append(f"{name}={value}: {rule}; fix it, or unset it{usual}")
    return lines


_KINDS = {int: "a whole number", float: "a number", date: "a day, e.g. 2026-11-01", Path: "a path"}
_BOUNDS = {"ge": "of at least", "gt": "above", "le": "at most", "lt": "below"}


def rule_of(field: FieldInfo) -> str:
    """Return the rule of a setting in words, from its type and its bounds."""
    if choices := get_args(field.annotation):
        words = [str(choice) for choice in choices]
        if all(isinstance(choice, str) for choice in choices):
            return f"must be {', '.join(words[:-1])} or {words[-1]}"
    kind = next(
        (words for known, words in _KINDS.items() if field.annotation is known or known in choices),
        "one or more words, divided by commas or blanks",
    )
    bounds = [
        f"{words} {getattr(rule, sign):,}"
        for rule in field.metadata
        for sign, words in _BOUNDS.items()
        if getattr(rule, sign, None) is not None
    ]
    patterns = [
        f"text that matches {rule.pattern}" for rule in field.metadata if getattr(rule, "pattern", None)
    ]
    return f"must be {patterns[0] if patterns else ' '.join([kind, ' and '.join(bounds)]).strip()}"

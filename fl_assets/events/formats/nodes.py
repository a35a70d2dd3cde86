"""Nodes: the place that a span comes from, told by attributes that stay.

What goes here: which attribute names the place, and which values are new with each process. What does not:
folders, which name the node of last resort (`events/sql.py`).

Sources: OpenTelemetry semantic conventions for resources, Kubernetes and FaaS.
"""

import re
from collections.abc import Mapping
from typing import Any

from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import first

_OWN_KEYS = ("node.id", "node_id")
NODE_KEYS = (
    *_OWN_KEYS,
    "service.instance.id",
    "faas.name",
    "host.name",
    "hostname",
    "host.id",
    "k8s.node.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "k8s.pod.name",
    "aws.ecs.task.family",
    "cloud.resource_id",
    "container.name",
    "device.id",
)
"""Attributes that name the place a span comes from, in order; a value that is new with each process names
none."""
_STAYS = frozenset({"node.id", "node_id", "host.id", "device.id", "faas.name", "cloud.resource_id"})
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_EPHEMERAL = re.compile(
    rf".*{_UUID}.*|[0-9a-fA-F]{{12,}}|.*\b[0-9a-f]{{32,}}\b.*|[0-9]{{3,}}|.*[@:/][0-9]{{3,7}}"
    rf"|(?:.*[.:_-])?[0-9A-HJKMNP-TV-Z]{{26}}|(?:fv-az|runnervm)[0-9a-z-]+"
    r"|(?:e2b|modal|daytona|sandbox|sb)-(?=[0-9a-z]*[0-9])[0-9a-z]{8,}"
    r"|(?:gitlab-)?runner-[0-9a-z_-]+-project-[0-9]+-concurrent-[0-9]+"
    r"|[0-9]{2,7}@.*|.*[.:_-](?=[0-9A-Za-z]{10,}$)[0-9]*(?:[A-Za-z]+[0-9]+){3,}[A-Za-z]*"
    r"|.*[.:_-](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,16}|localhost(?:\..*)?|127\..*|169\.254\..*|::1"
)
"""Values that are made again for each process or sandbox (UUIDs, container and process ids, ULIDs, names that
end in one), and those that every machine has."""
_K8S = "[bcdfghjklmnpqrstvwxz2456789]"
_POD = re.compile(rf"(?P<owner>.+?)-(?=[a-z0-9]*[0-9])[a-z0-9]{{6,10}}-{_K8S}{{5}}")
_POD_OF_SET = re.compile(rf"(?P<owner>.+?)-(?:(?=[a-z0-9]*[0-9])[a-z0-9]{{6,10}}-)?{_K8S}{{5}}")
"""A pod's name is its owner's, the hash of its template, and five letters of Kubernetes' own alphabet
(`k8s.io/apimachinery/pkg/util/rand`)."""

_TASK_HOST = re.compile(r"ip-[0-9]+-[0-9]+-[0-9]+-[0-9]+(?:\..*)?")
"""The host of a task of ECS: with Fargate, and wherever a task has an address of its own, new with each."""


class _Last:
    """The resource looked at last, and its node: spans of one resource follow each other by the hundred."""

    known: tuple[Mapping[str, Any], str] = ({}, "")


def node_of(span: Span, order: tuple[str, ...] = ()) -> str:
    """Return the place that a span comes from, or '' where the folder of its file is to tell.

    A node is a place that stays. `service.instance.id` is random by the resource conventions, a container's
    host name is its id, and a pod's name is new with each pod: those name none, or one machine that runs an
    agent twelve times would pass for twelve.

    Args:
        span: what to look at.
        order: attributes to prefer, in order (`FEDERATED_LEARNING_NODE_ATTRIBUTES`); what they hold is taken
            as it is.
    """
    if order:
        both = (span.resource, span.attributes)
        return next((name for key in order for values in both if (name := first(values, (key,)))), "")
    if own := first(span.attributes, _OWN_KEYS):
        return own
    resource, name = _Last.known
    if resource is not span.resource:
        name = _node_of_resource(span.resource)
        _Last.known = (span.resource, name)
    return name


def _node_of_resource(resource: Mapping[str, Any]) -> str:
    pod = first(resource, ("k8s.pod.name",))
    is_in_cluster = any(key.startswith("k8s.") for key in resource)
    owners = []
    for key in NODE_KEYS:
        name = first(resource, (key,))
        if not name:
            continue
        if key in _STAYS:
            return name
        if match := (_POD_OF_SET if is_in_cluster and name == pod else _POD).fullmatch(name):
            owners.append(match["owner"])
        elif not _is_new_each_time(resource, key, name, pod):
            return name
    return owners[0] if owners else ""


def _is_new_each_time(resource: Mapping[str, Any], key: str, name: str, pod: str) -> bool:
    process = first(resource, ("process.pid",))
    is_task = key == "host.name" and "aws.ecs.task.arn" in resource and _TASK_HOST.fullmatch(name) is not None
    return (
        is_task
        or _EPHEMERAL.fullmatch(name) is not None
        or (key != "k8s.pod.name" and bool(pod) and pod in name)
        or (len(process) > 1 and name.endswith(process))
    )

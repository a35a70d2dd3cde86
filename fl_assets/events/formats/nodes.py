"""The node of a span, by attributes whose values stay the same over restarts.

What does not go here: folders, which name the node where attributes do not (`events/sql.py`).

Sources: OpenTelemetry semantic conventions for resources, Kubernetes and FaaS.
"""

import re
from collections.abc import Mapping
from typing import Any

from fl_assets.events.formats.attributes import ATTRIBUTES
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import first

_OWN_KEYS = ("node.id", "node_id")
_PLACE_OF_WORKLOAD = ("k8s.cluster.name", "k8s.namespace.name")
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
"""Values that are new with each process or sandbox (UUIDs, container and process ids, ULIDs, names that end
in one), and those that every machine has."""
_K8S = "[bcdfghjklmnpqrstvwxz2456789]"
_POD = re.compile(rf"(?P<owner>.+?)-(?=[a-z0-9]*[0-9])[a-z0-9]{{6,10}}-{_K8S}{{5}}")
_POD_OF_SET = re.compile(rf"(?P<owner>.+?)-(?:(?=[a-z0-9]*[0-9])[a-z0-9]{{6,10}}-)?{_K8S}{{5}}")
"""A pod's name is its owner's, the hash of its template, and five letters of Kubernetes' alphabet
(`k8s.io/apimachinery/pkg/util/rand`)."""

_TASK_HOST = re.compile(r"ip-[0-9]+-[0-9]+-[0-9]+-[0-9]+(?:\..*)?")
"""Host name of an ECS task with an address of its own (as in Fargate): new with each task."""


class _Last:
    """Cache of the last resource and its node, as spans of one resource follow each other."""

    known: tuple[Mapping[str, Any], str] = ({}, "")


def node_of(span: Span, order: tuple[str, ...] = ()) -> str:
    """Return the node of a span, or '' where its file's folder names it.

    A node is a place that stays. A random `service.instance.id`, a container's id as host name and a pod's
    name are new each time: with them one machine that runs an agent twelve times would count as twelve.

    Attributes in `order` (`FEDERATED_LEARNING_NODE_ATTRIBUTES`) are used instead, whatever they hold.
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
    for key in ATTRIBUTES["node"]:
        name = first(resource, (key,))
        if not name:
            continue
        if key in _STAYS:
            return name
        if match := (_POD_OF_SET if is_in_cluster and name == pod else _POD).fullmatch(name):
            owners.append(match["owner"])
        elif not _is_new_each_time(resource, key, name, pod):
            return _within_cluster(resource, name) if key in ATTRIBUTES["workload"] else name
    return _within_cluster(resource, owners[0]) if owners else ""


def _within_cluster(resource: Mapping[str, Any], workload: str) -> str:
    """Name a workload with its cluster and namespace, as other ones have workloads of the same name."""
    place = (first(resource, (key,)) for key in _PLACE_OF_WORKLOAD)
    return "/".join([*filter(None, place), workload])


def _is_new_each_time(resource: Mapping[str, Any], key: str, name: str, pod: str) -> bool:
    process = first(resource, ("process.pid",))
    is_task = key == "host.name" and "aws.ecs.task.arn" in resource and _TASK_HOST.fullmatch(name) is not None
    return (
        is_task
        or _EPHEMERAL.fullmatch(name) is not None
        or (key != "k8s.pod.name" and bool(pod) and pod in name)
        or (len(process) > 1 and name.endswith(process))
    )

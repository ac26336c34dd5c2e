"""Comparing what Git asks for with what the cluster has, as the application controller does."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from tenantry.devcluster.application import Application
from tenantry.devcluster.clock import stamp_now
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.kinds import Key, Manifest, has_option, key_of, version_of
from tenantry.devcluster.manifests import ComparisonError, Target
from tenantry.devcluster.namespace import Live
from tenantry.devcluster.project import Project

# the worst one is the Application's; missing objects count only when nothing is there
_HEALTH = ["Healthy", "Suspended", "Progressing", "Degraded", "Unknown"]


@dataclass(frozen=True)
class Compared:
    """The two sides, object by object."""

    desired: Mapping[Key, Manifest]
    live: Mapping[Key, Live]  # the desired ones that are there, and what else we applied
    differing: AbstractSet[Key]  # desired ones that something in the cluster changes each time

    @property
    def changed(self) -> list[Key]:
        """Desired objects that the cluster does not have so."""
        return [
            key
            for key, manifest in self.desired.items()
            if key not in self.live or key in self.differing or self.live[key].manifest != manifest
        ]

    @property
    def extra(self) -> list[Key]:
        """Objects of ours that nothing asks for any more."""
        return [key for key in self.live if key not in self.desired]


def compare(application: Application, target: Target, cluster: Cluster) -> Compared:
    """Both sides of an Application."""
    desired = {key_of(one, application.namespace): one for one in target.objects}
    live = dict(cluster.owned(application.name, application.namespace))
    for key in desired:
        found = cluster.live(key)
        if found is not None:
            live[key] = found
    faults = {key: cluster.broken.faults_of(application.name, key) for key in desired}
    for key, found in live.items():
        for owner in (one.owner for one in faults.get(key, ()) if one.owner):
            live[key] = replace(found, owner=owner)
    differing = {key for key, ones in faults.items() if any(one.differs for one in ones)}
    return Compared(desired, live, differing)


def write_comparison(
    application: Application, target: Target, cluster: Cluster, project: Project
) -> Compared:
    """Compare, and write the outcome to the Application's status (not `reconciledAt`)."""
    compared = compare(application, target, cluster)
    changed = set(compared.changed)
    resources = []
    for key in sorted({*compared.desired, *compared.live}):
        manifest = compared.desired.get(key) or compared.live[key].manifest
        status = "OutOfSync" if key in changed or key in compared.extra else "Synced"
        if key in compared.desired and not_permitted(application, key, project, cluster):
            status = "Unknown"
        extra = {"requiresPruning": True} if key in compared.extra else {}
        resources.append(_resource(key, manifest, status, cluster.health(key), extra))
    application.resources = resources
    synced = all(one["status"] == "Synced" for one in resources)
    application.sync = "Synced" if synced else "OutOfSync"
    application.revision = target.revision
    application.source_type = "Kustomize"
    application.set_health(overall_health(resources))
    application.set_condition("ComparisonError", None)
    _write_shared(application, compared)
    return compared


def not_permitted(
    application: Application, key: Key, project: Project, cluster: Cluster
) -> str | None:
    """Argo CD's message for an object that the project does not permit."""
    if any(one.forbidden for one in cluster.broken.faults_of(application.name, key)):
        return project.kind_refusal(key)
    return project.refusal(key)


def write_failure(application: Application, error: ComparisonError, cluster: Cluster) -> None:
    """What stands when there are no manifests to compare with; `reconciledAt` too."""
    live = cluster.owned(application.name, application.namespace)
    application.resources = [
        _resource(
            key, live[key].manifest, "Unknown", cluster.health(key), {"requiresPruning": True}
        )
        for key in sorted(live)
    ]
    application.sync = "Unknown"
    application.revision = application.source["targetRevision"]
    application.source_type = None
    application.set_health(overall_health(application.resources))
    application.set_condition("ComparisonError", str(error))
    application.reconciled = stamp_now()


def write_invalid_spec(application: Application, message: str) -> None:
    """What stands when the project does not permit the Application itself."""
    application.sync, application.revision = "Unknown", ""
    application.set_health("Unknown")
    application.set_condition("InvalidSpecError", message)
    application.reconciled = stamp_now()


def write_health(application: Application, cluster: Cluster) -> bool:
    """Bring health up to date; whether anything changed."""
    before = (application.health, application.resources)
    application.resources = [
        _with_health(one, cluster.health(_key(one))) for one in application.resources
    ]
    application.set_health(overall_health(application.resources))
    return before != (application.health, application.resources)


def shared_with(application: Application, compared: Compared) -> dict[Key, str]:
    """Desired objects that another Application applied, and which."""
    return {
        key: compared.live[key].owner
        for key in compared.desired
        if key in compared.live and compared.live[key].owner not in {"", application.name}
    }


def keeps_on_prune(live: Live) -> bool:
    """Whether an object that nothing asks for any more stays."""
    return has_option(live.manifest, "Prune=false")


def overall_health(resources: list[dict[str, Any]]) -> str:
    """An Application's health from its resources'."""
    known = [one["health"]["status"] for one in resources if "health" in one]
    if resources and len(known) == len(resources) and set(known) == {"Missing"}:
        return "Missing"
    return max((one for one in known if one != "Missing"), key=_HEALTH.index, default="Healthy")


def _resource(
    key: Key,
    manifest: Manifest,
    status: str,
    health: dict[str, str] | None,
    extra: dict[str, Any],
) -> dict[str, Any]:
    resource: dict[str, Any] = {"group": key.group} if key.group else {}
    resource |= {"version": version_of(manifest), "kind": key.kind}
    if key.namespace:
        resource["namespace"] = key.namespace
    resource |= {"name": key.name, "status": status}
    if health is not None:
        resource["health"] = health
    return resource | extra


def _with_health(resource: dict[str, Any], health: dict[str, str] | None) -> dict[str, Any]:
    kept = {name: value for name, value in resource.items() if name != "health"}
    if health is None:
        return kept
    tail = {"requiresPruning": kept.pop("requiresPruning")} if "requiresPruning" in kept else {}
    return {**kept, "health": health, **tail}


def _key(resource: Mapping[str, Any]) -> Key:
    namespace = resource.get("namespace", "")
    return Key(resource.get("group", ""), resource["kind"], namespace, resource["name"])


def _write_shared(application: Application, compared: Compared) -> None:
    kept = [one for one in application.conditions if one["type"] != "SharedResourceWarning"]
    known = {one["message"]: one for one in application.conditions}
    for key, other in sorted(shared_with(application, compared).items()):
        message = f"{key.kind}/{key.name} is part of applications {application.name} and {other}"
        fresh = {
            "type": "SharedResourceWarning",
            "message": message,
            "lastTransitionTime": stamp_now(),
        }
        kept.append(known.get(message, fresh))
    application.conditions = sorted(kept, key=lambda one: one["type"])

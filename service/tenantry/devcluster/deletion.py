"""Deleting an Application with its objects, as the finalizer asks."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.devcluster.application import Application
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.kinds import Key, apply_order, has_option
from tenantry.devcluster.namespace import Live
from tenantry.devcluster.sync import Run, Tools


def take_down(application: Application, cluster: Cluster, tools: Tools) -> Run:
    """Remove what the Application applied, but for objects that say `Delete=false`.

    Waits without a word: without end for objects that say `Delete=confirm`, and for one that a
    finalizer keeps, with its Namespace, until it is let go.
    """
    live = cluster.owned(application.name, application.namespace)
    if any(has_option(one.manifest, "Delete=confirm") for one in live.values()):
        while True:
            yield max(tools.step, 1.0)
    goes = _going(live)
    later = [key for key in goes if key.kind == "Namespace" or _is_kept(application, key, cluster)]
    for key in sorted(set(goes) - set(later), key=apply_order, reverse=True):
        cluster.delete(key)
    while any(_is_kept(application, key, cluster) for key in later):
        yield tools.step
    for key in sorted(later, key=apply_order, reverse=True):
        cluster.delete(key)
    if goes:
        if application.sync != "Unknown":
            application.sync = "OutOfSync"
            application.set_health("Progressing")
        tools.publish(application)
        yield tools.step


def _is_kept(application: Application, key: Key, cluster: Cluster) -> bool:
    return any(one.keeps for one in cluster.broken.faults_of(application.name, key))


def _going(live: Mapping[Key, Live]) -> list[Key]:
    return [key for key, one in live.items() if not has_option(one.manifest, "Delete=false")]

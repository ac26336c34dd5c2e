"""The cluster: objects that were applied, Secrets that were opened, pods that would run.

Pods are not run. They count as running when everything their template refers to is there and the
quota leaves room, and they keep what they read at their start, so a changed Secret reaches the
instance only when its pods are replaced, as in a real cluster. In memory only.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Mapping

from tenantry.devcluster import quota, workloads
from tenantry.devcluster.admission import object_refusal
from tenantry.devcluster.broken import Broken
from tenantry.devcluster.faults import Fault
from tenantry.devcluster.kinds import Key
from tenantry.devcluster.namespace import Live, Manifest, Namespace, Pods, Rollout
from tenantry.devcluster.sealing import Opened

DEFAULT_DEADLINE = 600  # seconds, Kubernetes' own
Health = dict[str, str]


class Cluster:
    """Safe for several threads."""

    def __init__(self, broken: Broken, *, time_scale: float) -> None:
        self.broken = broken
        self.lock = threading.RLock()
        self._scale = time_scale
        self._version = 0
        self.namespaces: dict[str, Namespace] = {}

    def live(self, key: Key) -> Live | None:
        """The object, if it is there."""
        with self.lock:
            namespace = self.namespaces.get(key.home)
            return namespace.objects.get(key) if namespace else None

    def owned(self, application: str, home: str) -> dict[Key, Live]:
        """What an Application applied to its namespace."""
        with self.lock:
            namespace = self.namespaces.get(home, Namespace())
            return {key: one for key, one in namespace.objects.items() if one.owner == application}

    def apply(
        self, application: str, key: Key, manifest: Manifest, opened: Opened | None
    ) -> str | None:
        """Create or change an object; the API server's words where it refuses."""
        with self.lock:
            if refusal := object_refusal(key, manifest, self.namespaces):
                return refusal
            for fault in self.broken.faults_of(application, key):
                if fault.refusal:
                    return fault.refusal.format(name=key.name, namespace=key.namespace)
            namespace = self.namespaces.setdefault(key.home, Namespace())
            live = namespace.objects.setdefault(key, Live(manifest, application))
            self._version += 1
            live.manifest, live.owner, live.version = manifest, application, self._version
            if opened is not None:
                live.opened = opened
                if opened.refusal is None:  # a failed one leaves the old Secret as it was
                    namespace.secrets[key.name] = dict(opened.values)
            if key.kind == "Secret":
                namespace.secrets[key.name] = _plain_values(manifest)
            return None

    def delete(self, key: Key) -> None:
        """Remove an object; a Namespace takes everything in it along."""
        with self.lock:
            namespace = self.namespaces.get(key.home)
            if namespace is None:
                return
            if key.kind == "Namespace":
                del self.namespaces[key.home]
                return
            namespace.objects.pop(key, None)
            namespace.pods.pop(key, None)
            namespace.rollouts.pop(key, None)
            if key.kind in {"SealedSecret", "Secret"}:
                namespace.secrets.pop(key.name, None)

    def roll_out(self, home: str) -> float | None:
        """Start what would start; seconds until the next progress deadline, None without one."""
        with self.lock:
            namespace = self.namespaces.get(home)
            if namespace is None:
                return None
            for key, workload in workloads.workloads(namespace.manifests()).items():
                self._roll_out_one(namespace, key, workload)
            waits = [
                rollout.since + self._deadline(namespace.objects[key].manifest) - time.monotonic()
                for key, rollout in namespace.rollouts.items()
                if key.kind == "Deployment"
            ]
            return min((wait for wait in waits if wait > 0), default=None)

    def health(self, key: Key) -> Health | None:
        """An object's health with Argo CD's message; None for kinds that have none."""
        with self.lock:
            namespace = self.namespaces.get(key.home)
            live = namespace.objects.get(key) if namespace else None
            if namespace is None or live is None:
                return {"status": "Missing"}
            for fault in self.broken.faults_of(live.owner, key):
                if fault.health is not None:
                    return filled(fault.health, key)
            if live.opened is not None and live.opened.refusal is not None:
                return {"status": "Degraded", "message": live.opened.refusal}
            if key in workloads.workloads({key: live.manifest}):
                return self._workload_health(namespace, key, live.manifest)
            if key.kind == "PersistentVolumeClaim" and key.name not in namespace.bound:
                return {"status": "Progressing"}
            return {"status": "Healthy"} if key.kind in _WITH_HEALTH else None

    def rollout(self, key: Key) -> Rollout | None:
        """What holds up new pods of a workload; None where they run."""
        with self.lock:
            namespace = self.namespaces.get(key.home)
            return namespace.rollouts.get(key) if namespace else None

    def running(self, home: str) -> dict[str, tuple[int, int]]:
        """The workloads of a namespace by name: pods that run, and pods that are wanted."""
        with self.lock:
            namespace = self.namespaces.get(home, Namespace())
            found = workloads.workloads(namespace.manifests())
            return {
                key.name: (
                    namespace.pods[key].count if key in namespace.pods else 0,
                    workloads.replicas(workload),
                )
                for key, workload in sorted(found.items(), key=lambda pair: pair[0].name)
            }

    def _roll_out_one(self, namespace: Namespace, key: Key, workload: Manifest) -> None:
        wanted = workloads.replicas(workload)
        running = namespace.pods.get(key)
        digest = workloads.digest(workload)
        fault = self.pod_fault(namespace.objects[key].owner)
        if fault is not None:
            namespace.pods.pop(key, None)
            running = None
        if wanted == 0:
            namespace.pods.pop(key, None)
            namespace.rollouts.pop(key, None)
            return
        if running is not None and (running.digest, running.count) == (digest, wanted):
            namespace.rollouts.pop(key, None)
            return
        if running is not None and workloads.replaces_in_place(workload):
            del namespace.pods[key]
        needs = quota.pod_needs(workloads.pod_spec(workload), namespace.of_kind("LimitRange"))
        over = _over_quota(namespace, key, needs, wanted)
        missing = workloads.blockers(workload, namespace.manifests(), namespace.secrets)
        if fault is not None:
            pod = workloads.pod_name(key, workload)
            reason = fault.blocker.format_map(workloads.words(key, workload, pod))
            over, missing = (None, [reason]) if fault.created else (reason, [])
        if over or missing:
            self._hold_back(namespace, key, digest, over, missing)
            return
        values = workloads.secret_values(workload, namespace.secrets)
        namespace.pods[key] = Pods(digest, wanted, needs, values)
        namespace.rollouts.pop(key, None)
        namespace.bound.update(workloads.claims(workloads.pod_spec(workload)))

    def pod_fault(self, tenant: str) -> Fault | None:
        """The fault that keeps a tenant's pods from running, if there is one."""
        return next((one for one in self.broken.faults(tenant) if one.blocker), None)

    def _hold_back(
        self, namespace: Namespace, key: Key, digest: str, over: str | None, missing: list[str]
    ) -> None:
        known = namespace.rollouts.get(key)
        since = known.since if known is not None and known.digest == digest else time.monotonic()
        reason = over or "; ".join(missing)
        namespace.rollouts[key] = Rollout(digest, since, reason, created=over is None)

    def _workload_health(self, namespace: Namespace, key: Key, workload: Manifest) -> Health:
        wanted = workloads.replicas(workload)
        running = namespace.pods.get(key)
        current = running is not None and running.digest == workloads.digest(workload)
        if wanted == 0 or (current and running is not None and running.count == wanted):
            return {"status": "Healthy"}
        rollout = namespace.rollouts.get(key)
        if key.kind != "Deployment":
            return {"status": "Progressing", "message": f"Waiting for {wanted} pods to be ready..."}
        if rollout and time.monotonic() >= rollout.since + self._deadline(workload):
            message = f'Deployment "{key.name}" exceeded its progress deadline'
            return {"status": "Degraded", "message": message}
        if rollout and not rollout.created:
            waits = f"0 out of {wanted} new replicas have been updated..."
        elif running is not None:
            waits = f"{running.count} old replicas are pending termination..."
        else:
            waits = f"0 of {wanted} updated replicas are available..."
        return {"status": "Progressing", "message": f"Waiting for rollout to finish: {waits}"}

    def _deadline(self, workload: Manifest) -> float:
        given = (workload.get("spec") or {}).get("progressDeadlineSeconds", DEFAULT_DEADLINE)
        return float(given) * self._scale


_WITH_HEALTH = {
    "Certificate",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "PersistentVolumeClaim",
    "SealedSecret",
    "Service",
}


def filled(health: Mapping[str, str], key: Key) -> Health:
    """A fault's health, in which the object is named."""
    names = {"name": key.name, "namespace": key.namespace}
    return {member: text.format_map(names) for member, text in health.items()}


def _over_quota(namespace: Namespace, key: Key, needs: quota.Amounts, wanted: int) -> str | None:
    """Why the pods do not all fit; while old ones run, one new one must fit beside them."""
    quotas = namespace.of_kind("ResourceQuota")
    used: quota.Amounts = {}
    for other, pods in namespace.pods.items():
        if other != key:
            quota.add(used, pods.needs, pods.count)
    beside = dict(used)
    quota.add(beside, needs, wanted - 1)
    if refusal := quota.refusal(quotas, needs, beside, must_name=True):
        return refusal
    running = namespace.pods.get(key)
    if running is None:
        return None
    quota.add(used, running.needs, running.count)
    return quota.refusal(quotas, needs, used, must_name=True)


def _plain_values(manifest: Manifest) -> dict[str, str]:
    data = manifest.get("data") or {}
    values = {name: base64.b64decode(value).decode() for name, value in data.items()}
    return {**values, **(manifest.get("stringData") or {})}

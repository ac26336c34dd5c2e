"""The two controllers: ApplicationSets make Applications, Applications are compared and synced.

Concurrency: one thread reconciles sets; `builders` threads compare (and build); one thread takes
the steps of syncs, so that a burst of builds does not hold up what is already under way. Whoever
changes an Application holds its lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import structlog

from tenantry.devcluster import comparison, operation, sync
from tenantry.devcluster.application import FINALIZER, Application
from tenantry.devcluster.clock import stamp_now
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.deletion import take_down
from tenantry.devcluster.manifests import ComparisonError, Manifests, Target
from tenantry.devcluster.project import Project
from tenantry.devcluster.registry import Registry
from tenantry.devcluster.scheduler import Scheduler
from tenantry.devcluster.sealing import Opener

log = structlog.get_logger()

HYDRATE = "argocd.argoproj.io/hydrate"
REFRESH_WAIT = 8.0  # seconds that a refresh is waited for before the answer is what stands


class Busy(Exception):
    """Another operation is already in progress"""


class Controller:
    """Compares, syncs and deletes Applications. `step` in seconds, `scale` of waits."""

    def __init__(
        self,
        registry: Registry,
        cluster: Cluster,
        manifests: Manifests,
        opener: Opener,
        *,
        step: float,
        scale: float,
        builders: int,
    ) -> None:
        self.registry = registry
        self.project = Project(name="")
        self.on_removed: Callable[[Application], None] = _nothing  # told when one is gone
        self._cluster = cluster
        self._broken = cluster.broken
        self._manifests = manifests
        self._opener = opener
        self._steps = Scheduler("steps", threads=1)
        self._builds = Scheduler("builds", threads=builders)
        self._step = step
        self._tools = sync.Tools(
            cluster=cluster,
            project=lambda: self.project,
            open=opener.open,
            load=self._load,
            publish=registry.publish,
            step=step,
            scale=scale,
        )

    def start(self) -> None:
        """Begin to work."""
        self._steps.start()
        self._builds.start()

    def stop(self) -> None:
        """Finish what is under way, drop the rest."""
        self._builds.stop()
        self._steps.stop()

    def adopt(self, application: Application) -> None:
        """Take on a new Application: first without a status, then compared."""
        self.registry.add(application)
        self.compare_later(application, self._step)

    def compare_later(
        self, application: Application, seconds: float = 0.0, done: threading.Event | None = None
    ) -> None:
        """Compare with the newest commit soon; `done` is set afterwards."""
        self._builds.after(seconds, partial(self._compare, application, done))

    def look_again(self, application: Application) -> None:
        """Something in the cluster has changed: pods, health and comparison follow, and a sync even
        of a commit that was synced before.
        """
        with application.lock:
            application.again = True
            self._watch_rollout(application)
        self.compare_later(application)

    def look_at_health(self, application: Application) -> None:
        """Tell its health as it is now; nothing while it syncs."""
        with application.lock:
            if application.gone or application.run is not None or self._is_away():
                return
            if comparison.write_health(application, self._cluster):
                self.registry.publish(application)

    def forget(self, application: Application) -> None:
        """Have it as it is before anything was compared; operations are remembered."""
        with application.lock:
            application.sync = application.revision = application.health_since = ""
            application.health = application.reconciled = None
            application.resources, application.conditions = [], []
            self.registry.publish(application)

    def refresh(self, application: Application, kind: str) -> None:
        """What `?refresh=` does: compare now, and wait a while for it."""
        done = threading.Event()
        with application.lock:
            application.annotations[HYDRATE] = kind
        if kind == "hard":
            self._manifests.forget(application.source["path"])
        self.compare_later(application, done=done)
        done.wait(REFRESH_WAIT)

    def sync_now(self, application: Application, username: str, *, prune: bool) -> None:
        """Start a sync that an account asks for; Busy while one runs."""
        with application.lock:
            if application.run is not None:
                raise Busy
            request = operation.manual_request(application, username, prune=prune)
            application.wanted_operation = request
            application.run = self._manual(application, username, prune=prune)
            self.registry.publish(application)
        self._steps.after(0, partial(self._advance, application))

    def delete(self, application: Application, *, cascade: bool) -> None:
        """Ask for its deletion; what its finalizer stands for goes first."""
        with application.lock:
            if application.deleted is not None:
                return
            application.deleted = stamp_now()
            self.registry.publish(application)
            if not cascade or FINALIZER not in application.metadata.get("finalizers", ()):
                application.run = iter(())
            else:
                application.run = take_down(application, self._cluster, self._tools)
        self._steps.after(self._step, partial(self._advance, application))

    def _load(self, application: Application) -> Target:
        for fault in self._broken.faults(application.name):
            if fault.build_error:
                raise ComparisonError(fault.build_error)
        target = self._manifests.load(application.source, application.annotations)
        for manifest in target.objects:  # opened here, so that a step of a sync need not wait
            if manifest.get("kind") == "SealedSecret":
                self._opener.open(manifest, application.namespace)
        return target

    def _is_away(self) -> bool:
        return self._broken.has("controller-idle") or self._broken.has("restart")

    def _compare(self, application: Application, done: threading.Event | None) -> None:
        if self._is_away():
            return  # and whoever waits, waits in vain
        with application.turn:  # or one that began earlier could have the last word
            self._compare_now(application, done)

    def _compare_now(self, application: Application, done: threading.Event | None) -> None:
        try:
            if refusal := self.project.spec_refusal(application.spec):
                with application.lock:
                    comparison.write_invalid_spec(application, refusal)
                    self.registry.publish(application)
                return
            target = self._load(application)
        except ComparisonError as error:
            with application.lock:
                comparison.write_failure(application, error, self._cluster)
                operation.note_failed_attempt(application)
                self.registry.publish(application)
        else:
            with application.lock:
                self._write(application, target)
        finally:
            if done is not None:
                done.set()

    def _write(self, application: Application, target: Target) -> None:
        if application.gone:
            return
        application.target = target
        comparison.write_comparison(application, target, self._cluster, self.project)
        application.set_condition("InvalidSpecError", None)
        application.reconciled = stamp_now()
        operation.note_failed_attempt(application)
        self.registry.publish(application)
        self._sync_if_due(application)

    def _sync_if_due(self, application: Application) -> None:
        """Start an automated sync where one is due: not twice for one commit, unless `again`."""
        automated = application.sync_policy.get("automated")
        if automated is None or automated.get("enabled") is False or application.deleted:
            return
        if application.run is not None or self.is_shut(application):
            return
        again, application.again = application.again, False
        last = application.operation
        failed = again and last is not None and last.phase == "Failed"
        if application.sync != "OutOfSync" and not failed:
            return
        done = last is not None and last.result and last.result["revision"] == application.revision
        if done and not again:
            return
        started = operation.begin(application, operation.automated_request(application))
        application.run = sync.synchronize(application, started, self._tools)
        self.registry.publish(application)
        self._steps.after(self._step, partial(self._advance, application))

    def is_shut(self, application: Application) -> bool:
        """Whether a sync window forbids its syncs."""
        return any(one.window for one in self._broken.faults(application.name))

    def _manual(self, application: Application, username: str, *, prune: bool) -> sync.Run:
        try:
            application.target = self._load(application)
        except ComparisonError as error:
            comparison.write_failure(application, error, self._cluster)
            application.wanted_operation = None
            self.registry.publish(application)
            return
        comparison.write_comparison(application, application.target, self._cluster, self.project)
        request = operation.manual_request(application, username, prune=prune)
        started = operation.begin(application, request)
        self.registry.publish(application)
        yield self._step
        yield from sync.synchronize(application, started, self._tools)

    def _advance(self, application: Application) -> None:
        with application.lock:
            run = application.run
            if run is None or application.gone:
                return
            if self._is_away():
                self._steps.after(self._step, partial(self._resume, application, run))
                return
            pause = next(run, None)
            if pause is not None:
                self._steps.after(pause, partial(self._resume, application, run))
                return
            application.run = None
            if application.deleted is not None:
                self._remove(application)
                return
            if application.again:  # what changed during the sync is not compared yet
                self.compare_later(application)
            else:
                self._sync_if_due(application)
            self._watch_rollout(application)

    def _resume(self, application: Application, run: object) -> None:
        if application.run is run:  # not replaced by a deletion meanwhile
            self._advance(application)

    def _remove(self, application: Application) -> None:
        self.registry.remove(application)
        log.info("devcluster.application_removed", application=application.name)
        self.on_removed(application)

    def _watch_rollout(self, application: Application) -> None:
        """Look again when a progress deadline passes."""
        wait = self._cluster.roll_out(application.namespace)
        if wait is not None:
            self._steps.after(wait + 0.01, partial(self._look_again, application))

    def _look_again(self, application: Application) -> None:
        with application.lock:
            self.look_at_health(application)
            if application.run is None:
                self._watch_rollout(application)


def _nothing(_: Application) -> None:
    return

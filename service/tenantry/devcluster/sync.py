"""One sync, as the application controller goes about it: a generator of pauses, in seconds.

Each `yield` is a moment in which others see the state that was published before it. The states
and their order are those of the recorded timelines; what gitops-engine does with waves (the next
one waits until the objects of this one are healthy) is followed where there is no recording.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import groupby

from tenantry.devcluster import comparison
from tenantry.devcluster.application import Application, Operation
from tenantry.devcluster.clock import stamp_now
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.comparison import Compared
from tenantry.devcluster.kinds import Key, Manifest, apply_order, wave_of
from tenantry.devcluster.manifests import ComparisonError, Target
from tenantry.devcluster.operation import (
    Failure,
    Result,
    backoff,
    note_failed_attempt,
    object_result,
    resource_name,
    sync_result,
    write_failure,
    write_success,
)
from tenantry.devcluster.project import Project
from tenantry.devcluster.sealing import Opened

NOT_VALID = "one or more synchronization tasks are not valid: "
NOT_APPLIED = "one or more objects failed to apply, reason: "
NOT_HEALTHY = "one or more synchronization tasks completed unsuccessfully, reason: "


@dataclass(frozen=True)
class Tools:
    """What a sync works with. `step` is in seconds, `scale` shortens the retries' backoff."""

    cluster: Cluster
    project: Callable[[], Project]
    open: Callable[[Manifest, str], Opened]
    load: Callable[[Application], Target]  # the newest target; ComparisonError
    publish: Callable[[Application], None]
    step: float
    scale: float


Run = Generator[float, None, None]
Attempt = Generator[float, None, Failure | None]


def synchronize(application: Application, operation: Operation, tools: Tools) -> Run:
    """Run the Application's operation on its target to its end, retries included."""
    while True:
        target = application.target
        if target is None:
            return
        failure = yield from _attempt(application, operation, target, tools)
        if failure is None:
            yield from _settle(application, target, tools)
            return
        tools.cluster.roll_out(application.namespace)  # what was applied runs all the same
        if not write_failure(application, operation, failure, target):
            break
        tools.publish(application)
        yield backoff(operation) * tools.scale
        if not _retry(application, operation, tools):
            break
        yield 0.0
    operation.phase, application.wanted_operation = "Failed", None
    tools.publish(application)
    yield tools.step
    note_failed_attempt(application)
    tools.publish(application)


def _attempt(
    application: Application, operation: Operation, target: Target, tools: Tools
) -> Attempt:
    compared = comparison.compare(application, target, tools.cluster)
    if failure := _invalid(application, operation, compared, tools):
        return failure
    tasks = sorted(
        compared.changed, key=lambda key: (wave_of(compared.desired[key]), apply_order(key))
    )
    waves = [list(keys) for _, keys in groupby(tasks, lambda key: wave_of(compared.desired[key]))]
    prunes = compared.extra if operation.request["sync"]["prune"] else []
    results: list[Result] = []
    for number, wave in enumerate(waves):
        final = number == len(waves) - 1 and not prunes
        # the namespace is seen before the rest, as in the recordings
        early = [key for key in wave if key.kind == "Namespace"]
        for part in filter(None, (early, [key for key in wave if key not in early])):
            if failure := _apply(application, operation, compared, part, results, tools):
                return failure
            if part is early:
                yield from _show_progress(application, target, tools)
        if not final:
            failure = yield from _await_health(application, operation, target, wave, results, tools)
            if failure:
                return failure
    _prune(application, compared, prunes, results, tools)
    write_success(application, operation, target, results)
    tools.publish(application)
    return None


def _invalid(
    application: Application, operation: Operation, compared: Compared, tools: Tools
) -> Failure | None:
    project = tools.project()
    refused = {
        key: refusal
        for key in compared.desired
        if (refusal := comparison.not_permitted(application, key, project, tools.cluster))
    }
    if refused:
        results = [
            object_result(
                application, key, compared.desired[key], "SyncFailed", refusal, phase=None
            )
            for key, refusal in refused.items()
        ]
        return Failure(NOT_VALID + ", ".join(dict.fromkeys(refused.values())), results)
    shared = comparison.shared_with(application, compared)
    if shared and "FailOnSharedResource=true" in operation.request["sync"]["syncOptions"]:
        key, other = min(shared.items())
        what = f"{key.kind}/{key.name} is part of applications {application.name} and {other}"
        return Failure(f"Shared resource found: {what}", [])
    return None


def _apply(
    application: Application,
    operation: Operation,
    compared: Compared,
    keys: list[Key],
    results: list[Result],
    tools: Tools,
) -> Failure | None:
    server_side = "ServerSideApply=true" in operation.request["sync"]["syncOptions"]
    refusals: list[str] = []
    for key in keys:
        manifest = compared.desired[key]
        opened = tools.open(manifest, key.namespace) if key.kind == "SealedSecret" else None
        refusal = tools.cluster.apply(application.name, key, manifest, opened)
        if refusal is None:
            done = "serverside-applied" if server_side else "configured"
            message = f"{resource_name(key)} {done}"
            results.append(
                object_result(application, key, manifest, "Synced", message, phase="Running")
            )
        else:
            refusals.append(refusal)
            results.append(
                object_result(application, key, manifest, "SyncFailed", refusal, phase="Failed")
            )
    if refusals:
        return Failure(NOT_APPLIED + ",".join(dict.fromkeys(refusals)), results)
    return None


def _show_progress(application: Application, target: Target, tools: Tools) -> Run:
    comparison.write_comparison(application, target, tools.cluster, tools.project())
    tools.publish(application)
    yield tools.step


def _await_health(
    application: Application,
    operation: Operation,
    target: Target,
    wave: list[Key],
    results: list[Result],
    tools: Tools,
) -> Attempt:
    while True:
        tools.cluster.roll_out(application.namespace)
        health = {key: tools.cluster.health(key) or {"status": "Healthy"} for key in wave}
        waiting = [key for key in wave if health[key]["status"] == "Progressing"]
        message = _waits_for(waiting or wave)
        if message == operation.message:
            yield tools.step
        else:
            operation.message = message
            operation.result = sync_result(application, target, results)
            yield from _show_progress(application, target, tools)
        bad = [one["message"] for one in health.values() if one["status"] == "Degraded"]
        if bad:
            return Failure(NOT_HEALTHY + ",".join(bad), results)
        if not waiting:
            return None


def _waits_for(keys: list[Key]) -> str:
    first, more = keys[0], len(keys) - 1
    rest = f" and {more} more resources" if more else ""
    return f"waiting for healthy state of {first.group}/{first.kind}/{first.name}{rest}"


def _prune(
    application: Application,
    compared: Compared,
    keys: list[Key],
    results: list[Result],
    tools: Tools,
) -> None:
    for key in sorted(keys, key=apply_order, reverse=True):
        live = compared.live[key]
        if comparison.keeps_on_prune(live):
            words = ("PruneSkipped", "ignored (no prune)")
        else:
            tools.cluster.delete(key)
            words = ("Pruned", "pruned")
        results.append(object_result(application, key, live.manifest, *words, phase="Succeeded"))


def _settle(application: Application, target: Target, tools: Tools) -> Run:
    """Compare after the sync: first the new sync state, then health and `reconciledAt`."""
    yield tools.step
    _compare(application, target, tools)
    tools.publish(application)
    yield tools.step
    tools.cluster.roll_out(application.namespace)
    _compare(application, target, tools)
    application.reconciled = stamp_now()
    note_failed_attempt(application)
    tools.publish(application)


def _compare(application: Application, synced: Target, tools: Tools) -> None:
    # a refresh during the sync may have seen a newer commit, or one that does not build
    if application.sync != "Unknown":
        target = application.target or synced
        comparison.write_comparison(application, target, tools.cluster, tools.project())


def _retry(application: Application, operation: Operation, tools: Tools) -> bool:
    """Begin the next attempt, on the newest commit where the policy says so."""
    if operation.request["retry"].get("refresh"):
        try:
            application.target = tools.load(application)
        except ComparisonError as error:
            comparison.write_failure(application, error, tools.cluster)
            return False
    if application.target is not None:
        comparison.write_comparison(application, application.target, tools.cluster, tools.project())
    application.reconciled = stamp_now()
    operation.finished = None
    operation.message = f"Retrying operation with latest revisions. Attempt #{operation.retries}"
    tools.publish(application)
    return True

"""An operation as it is written down: what was asked for, results, messages, retries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tenantry.devcluster import workloads
from tenantry.devcluster.application import Application, Operation
from tenantry.devcluster.clock import kitchen, now, stamp_now
from tenantry.devcluster.kinds import WORKLOADS, Key, Manifest, version_of
from tenantry.devcluster.manifests import Target

_UNITS = {"s": 1, "m": 60, "h": 3600}

Result = dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """A sync attempt that failed: Argo CD's message, and the results of objects."""

    message: str
    results: list[Result]


def automated_request(application: Application) -> dict[str, Any]:
    """The operation that automated sync asks for."""
    prune = bool((application.sync_policy.get("automated") or {}).get("prune"))
    return _request(application, {"automated": True}, prune=prune)


def manual_request(application: Application, username: str, *, prune: bool) -> dict[str, Any]:
    """The operation that an account asks for."""
    return _request(application, {"username": username}, prune=prune)


def begin(application: Application, request: dict[str, Any]) -> Operation:
    """Have the operation running."""
    application.operation = Operation(request=request, started=stamp_now())
    application.wanted_operation = request
    return application.operation


def note_failed_attempt(application: Application) -> None:
    """SyncError while the last operation failed on the very commit that is compared."""
    operation = application.operation
    message = None
    if operation is not None and operation.phase == "Failed" and operation.result is not None:
        revision = operation.result["revision"]
        if application.sync == "OutOfSync" and application.revision == revision:
            message = f"Failed last sync attempt to [{revision}]: {operation.message}"
    application.set_condition("SyncError", message)


def write_success(
    application: Application, operation: Operation, target: Target, results: list[Result]
) -> None:
    operation.phase, operation.finished = "Succeeded", stamp_now()
    tasks = "all tasks run" if results else "no more tasks"
    operation.message = f"successfully synced ({tasks})"
    operation.result = sync_result(application, target, results)
    application.wanted_operation = None
    number = application.history[-1]["id"] + 1 if application.history else 0
    application.history.append(
        {
            "revision": target.revision,
            "deployedAt": operation.finished,
            "id": number,
            "source": dict(application.source),
            "deployStartedAt": operation.started,
            "initiatedBy": operation.request["initiatedBy"],
        }
    )
    del application.history[: -int(application.spec.get("revisionHistoryLimit") or 10)]


def write_failure(
    application: Application, operation: Operation, failure: Failure, target: Target
) -> bool:
    """Write a failed attempt down; whether there is another one."""
    operation.result = sync_result(application, target, failure.results)
    operation.finished = stamp_now()
    limit = int((operation.request.get("retry") or {}).get("limit", 0))
    if operation.retries >= limit:
        operation.message = failure.message + (f" (retried {limit} times)." if limit else "")
        return False
    operation.retries += 1
    at = kitchen(now() + timedelta(seconds=backoff(operation)))
    operation.message = f"{failure.message}. Retrying attempt #{operation.retries} at {at}."
    return True


def backoff(operation: Operation) -> float:
    """Seconds until the next attempt: 10, 20, 40 … with 5s and factor 2, as recorded."""
    backoff = operation.request["retry"].get("backoff") or {}
    most = _seconds(backoff.get("maxDuration", "3m"))
    factor = float(backoff.get("factor", 2))
    return min(_seconds(backoff.get("duration", "5s")) * factor**operation.retries, most)


def sync_result(application: Application, target: Target, results: list[Result]) -> dict[str, Any]:
    return {
        "resources": list(results),
        "revision": target.revision,
        "source": dict(application.source),
    }


def object_result(
    application: Application,
    key: Key,
    manifest: Manifest,
    status: str,
    message: str,
    *,
    phase: str | None,
) -> Result:
    result: Result = {
        "group": key.group,
        "version": version_of(manifest),
        "kind": key.kind,
        "namespace": key.namespace or application.namespace,
        "name": key.name,
        "status": status,
        "message": message,
    }
    if phase is not None:
        result["hookPhase"] = phase
    result["syncPhase"] = "Sync"
    if status == "Synced" and key.kind in WORKLOADS:
        result["images"] = workloads.images(manifest)
    return result


def resource_name(key: Key) -> str:
    kind = key.kind.lower()
    return f"{kind}.{key.group}/{key.name}" if key.group else f"{kind}/{key.name}"


def _request(application: Application, by: dict[str, Any], *, prune: bool) -> dict[str, Any]:
    policy = application.sync_policy
    wanted = {
        "revision": application.revision,
        "prune": prune,
        "source": dict(application.source),
        "syncOptions": list(policy.get("syncOptions") or ()),
    }
    return {"sync": wanted, "initiatedBy": by} | (
        {"retry": policy["retry"]} if "retry" in policy else {}
    )


def _seconds(duration: object) -> float:
    text = str(duration)
    unit = _UNITS.get(text[-1:])
    return float(text[:-1]) * unit if unit else float(text)

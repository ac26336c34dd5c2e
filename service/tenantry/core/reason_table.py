"""Every reason a tenant's status may have, as data (R41).

Codes are stable; `core.evidence` gives the generic ones, `core.causes` those that say why.
"""

from __future__ import annotations

from dataclasses import dataclass

_WAITING = "Your instance is being set up."
_UPDATING = "Your instance is running; a change to it is on its way."
_DELAYED = "Your instance is running; a change to it takes longer than usual."
_STOPPED = "Your instance is running; a change to it failed and we are looking into it."
_TROUBLE = "Your instance has a problem; we are looking into it."
_RECOVERING = "Your instance had a problem and is recovering."
_MISBUILT = "Your instance is being set up; there is a problem with its configuration."
_PARTLY = "Your instance is installed, but a part of it does not start yet."


@dataclass(frozen=True)
class Reason:
    """Sentences of one code: for the operator, and for the customer while the instance is set up
    (`starting`), runs, or is degraded. `heals`: it passes by itself, or Argo CD tries it again;
    else it stays until something is done. `lingers`: it heals, but may take so long that someone
    has to look.
    """

    operator: str
    starting: str = _WAITING
    running: str = _UPDATING
    degraded: str = _RECOVERING
    heals: bool = True
    lingers: bool = False

    @property
    def has_runbook(self) -> bool:
        """Whether `docs/runbook.md` has a section for it."""
        return self.lingers or not self.heals


REASONS: dict[str, Reason] = {
    # before Argo CD has a part in it
    "pending": Reason(
        "The configuration is not in Git yet",
        "Your account is ready; the configuration of your instance comes next.",
    ),
    "awaiting_confirmation": Reason(
        "The customer has not confirmed the e-mail address yet",
        "Your address is to be confirmed: open the link in our mail, and your instance is set up.",
    ),
    "awaiting_approval": Reason(
        "The signup waits for an operator to approve it",
        "Your signup is being looked at; then your instance is set up.",
        heals=False,
    ),
    "awaiting_review": Reason(
        "The first configuration waits for its review", "Your signup is being reviewed."
    ),
    "declined": Reason(
        "The signup was declined",
        "Your signup was not accepted. Please write to support.",
        heals=False,
    ),
    # does Argo CD see what was published?
    "no_application": Reason(
        "Argo CD has no Application for this tenant", degraded=_TROUBLE, lingers=True
    ),
    "application_deleting": Reason(
        "Argo CD is deleting the Application", degraded=_TROUBLE, heals=False
    ),
    "not_compared": Reason("Argo CD has not compared the Application yet"),
    "comparison_error": Reason(
        "Argo CD cannot build or compare the configuration",
        _MISBUILT,
        _DELAYED,
        lingers=True,
    ),
    "commit_unknown": Reason(
        "Argo CD compared a commit that is not in the service's clone", lingers=True
    ),
    "older_content": Reason("Argo CD has not compared the published configuration yet"),
    # is it applied?
    "syncing": Reason("The sync is running", "Your instance is being installed."),
    "sync_retrying": Reason(
        "The sync failed and Argo CD tries it again",
        "Your instance is being installed; a step has to be repeated.",
        _DELAYED,
        lingers=True,
    ),
    "sync_failed": Reason(
        "The sync failed and Argo CD has given up",
        running=_STOPPED,
        degraded=_TROUBLE,
        heals=False,
    ),
    "operation_unclear": Reason(
        "The last sync failed, and what it tried to apply is not known", running=_DELAYED
    ),
    "out_of_sync": Reason("Objects in the cluster differ from Git"),
    "argocd_error": Reason("Argo CD reports an error", running=_DELAYED, lingers=True),
    # does it run?
    "awaiting_health": Reason("Health has not been computed since the sync"),
    "starting": Reason("Workloads are starting", "Your instance is starting."),
    "resources_missing": Reason(
        "Objects are missing in the cluster", degraded=_TROUBLE, lingers=True
    ),
    "unhealthy": Reason("A workload is not healthy", _PARTLY, degraded=_TROUBLE, heals=False),
    "paused": Reason(
        "A workload is paused",
        "Your instance is installed, but paused.",
        degraded=_TROUBLE,
        heals=False,
    ),
    "awaiting_answer": Reason(
        "Healthy; the instance URL has not been asked yet", "Your instance is starting."
    ),
    "not_answering": Reason(
        "Healthy, but the instance URL does not answer",
        "Your instance is running; its address does not answer yet.",
        degraded="Your instance does not answer at the moment; we are looking into it.",
        lingers=True,
    ),
    "license_differs": Reason(
        "The instance reports another license than was issued",
        "Your instance is running; its license is not in place yet.",
        _DELAYED,
        _TROUBLE,
        heals=False,
    ),
    "confirming": Reason(
        "Everything is in place; it is looked at once more", "Your instance is about to be ready."
    ),
    # why it is not seen
    "recreated": Reason("The Application was deleted and made again", degraded=_RECOVERING),
    "set_frozen": Reason(
        "The ApplicationSet generates nothing new until its error is mended", heals=False
    ),
    "controller_idle": Reason(
        "Argo CD was asked to compare the Application and does not", running=_DELAYED, heals=False
    ),
    # why it is not applied
    "sync_window": Reason(
        "A sync window of the project lets nothing be applied now", running=_DELAYED, lingers=True
    ),
    "manifest_error": Reason(
        "The manifests cannot be built, or the cluster calls one invalid",
        _MISBUILT,
        _STOPPED,
        _TROUBLE,
        heals=False,
    ),
    "kind_forbidden": Reason(
        "A kind of object is not permitted", _MISBUILT, _STOPPED, _TROUBLE, heals=False
    ),
    "namespace_forbidden": Reason(
        "The namespace is not permitted in the project",
        _MISBUILT,
        _STOPPED,
        _TROUBLE,
        heals=False,
    ),
    "immutable_field": Reason(
        "A field cannot be changed in an object that exists",
        _MISBUILT,
        _STOPPED,
        _TROUBLE,
        heals=False,
    ),
    "volume_cannot_grow": Reason(
        "A volume cannot grow to the size that is wanted",
        _MISBUILT,
        _STOPPED,
        _TROUBLE,
        heals=False,
    ),
    "owned_by_another": Reason(
        "An object belongs to someone else", _MISBUILT, _STOPPED, _TROUBLE, heals=False
    ),
    "namespace_terminating": Reason(
        "The namespace is being deleted", degraded=_TROUBLE, lingers=True
    ),
    "never_synced": Reason(
        "Applied again and again, objects still differ from Git", running=_DELAYED, heals=False
    ),
    # why it does not run
    "secret_sealed_shut": Reason(
        "A SealedSecret cannot be opened", _PARTLY, _STOPPED, _TROUBLE, heals=False
    ),
    "image_not_pulled": Reason(
        "An image cannot be pulled", _PARTLY, _DELAYED, _TROUBLE, heals=False
    ),
    "crash_loop": Reason(
        "A container fails again and again", _PARTLY, _DELAYED, _TROUBLE, heals=False
    ),
    "quota_exceeded": Reason(
        "The namespace's quota leaves no room", _PARTLY, _STOPPED, _TROUBLE, heals=False
    ),
    "pods_refused": Reason(
        "A policy of the cluster refuses objects", _PARTLY, _STOPPED, _TROUBLE, heals=False
    ),
    "volume_pending": Reason(
        "A volume is not there yet", _PARTLY, _DELAYED, _TROUBLE, lingers=True
    ),
    "ingress_without_address": Reason(
        "The Ingress has no address yet",
        "Your instance is installed; its address is being set up.",
        lingers=True,
    ),
    "certificate_pending": Reason(
        "The certificate is not issued yet",
        "Your instance is installed; its certificate is being issued.",
        lingers=True,
    ),
    "certificate_refused": Reason(
        "The certificate is refused", _PARTLY, _DELAYED, _TROUBLE, heals=False
    ),
    # as it should be
    "ready": Reason("Runs what was published", running="Your instance is ready."),
    "read_only": Reason("Runs read-only, as published"),
    "suspended": Reason("Stopped, as published"),
    # the end
    "deleting": Reason("Marked for deletion"),
    "removing": Reason("Argo CD is removing it"),
    "deletion_blocked": Reason(
        "An object keeps the deletion from ending", degraded=_TROUBLE, heals=False
    ),
    "application_gone": Reason("The Application is gone"),
    "deleted": Reason("Deleted"),
}

"""The ApplicationSet controller: reads the sets from the repository and keeps Applications.

Woken by a nudge, by its poll, and when an Application has gone. As the real one: an error stops
the whole set and no other, and a set in error is not helped by nudges, only by its next poll.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import structlog

from tenantry.core.errors import TenantryError
from tenantry.devcluster.application import Application
from tenantry.devcluster.applicationset import (
    ApplicationSet,
    Generated,
    GenerationError,
    UnsupportedSet,
    check_labels,
    load_sets,
)
from tenantry.devcluster.broken import Broken
from tenantry.devcluster.controller import HYDRATE, Controller
from tenantry.devcluster.gitview import GitView
from tenantry.devcluster.project import Project, UnsupportedProject, load_project

log = structlog.get_logger()

MAIN = "refs/heads/main"
PROJECT_FILE = "argocd/appproject.yaml"
SETS_FILE = "argocd/applicationsets.yaml"

_MALFORMED = (
    "error generating params from git: failed to process file: unable to parse file: error "
    "unmarshaling JSON: while decoding JSON: unexpected end of JSON input"
)


class SetController:
    """Owns the sets. `poll` is in seconds."""

    def __init__(
        self, view: GitView, controller: Controller, broken: Broken, *, poll: float
    ) -> None:
        self._broken = broken
        self.sets: dict[str, ApplicationSet] = {}
        self.passes = 0  # how often it has looked
        self.problem: str | None = None  # why the repository's argocd/ is not understood
        self._view = view
        self._controller = controller
        self._poll = poll
        self._read_from: tuple[str, str] | None = None
        self._refused: str | None = None
        self._wake = threading.Condition()
        self._nudged: list[tuple[str, str]] = []
        self._removed: set[str] = set()  # names of sets
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="devcluster-sets", daemon=True)

    def start(self) -> None:
        """Begin, with a first poll."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def nudge(self, repository: str, ref: str) -> None:
        """A push happened; sets that watch this repository and ref look at once."""
        with self._wake:
            self._nudged.append((_plain(repository), ref))
            self._wake.notify_all()

    def look_again(self) -> None:
        """Look at every set at once, in error or not."""
        with self._wake:
            self._removed.update(self.sets)
            self._wake.notify_all()

    def application_removed(self, application: Application) -> None:
        """An Application is gone; its set may want it back."""
        with self._wake:
            self._removed.add(application.set_name)
            self._wake.notify_all()

    def _work(self) -> None:
        poll_at = time.monotonic()
        while True:
            with self._wake:
                while not self._due(poll_at):
                    self._wake.wait(max(0.0, poll_at - time.monotonic()))
                if self._stopped:
                    return
                nudged, self._nudged = self._nudged, []
                removed, self._removed = self._removed, set()
            polled = time.monotonic() >= poll_at
            if polled:
                poll_at = time.monotonic() + self._poll
            self._reconcile(nudged, polled=polled, removed=removed)
            self.passes += 1

    def _due(self, poll_at: float) -> bool:
        waiting = self._nudged or self._removed or self._stopped
        return bool(waiting) or time.monotonic() >= poll_at

    def _reconcile(self, nudged: list[tuple[str, str]], *, polled: bool, removed: set[str]) -> None:
        try:
            self._view.refresh()
            heads = self._view.heads()
            self.problem = self._read_manifests(heads.get(MAIN))
            for one in list(self.sets.values()):
                woken = (_plain(one.repository), one.revision) in nudged
                if polled or one.name in removed or (woken and not one.failed):
                    self._reconcile_set(one, heads.get(one.revision))
            if polled:
                self._compare_moved(heads)
        except TenantryError as error:  # the repository cannot be read; the next poll tries again
            self.problem = error.message
            log.warning("devcluster.repository_unreadable", reason=error.message)
        except Exception:  # a bug must not end the thread that everything hangs on
            log.exception("devcluster.task_failed")

    def _read_manifests(self, commit: str | None) -> str | None:
        """Take over argocd/ where it changed; why it cannot be used, if so."""
        files = (PROJECT_FILE, SETS_FILE)
        entries = self._view.below(commit, files).entries if commit else {}
        if PROJECT_FILE not in entries or SETS_FILE not in entries:
            return f"the repository has no {PROJECT_FILE} and {SETS_FILE} on main"
        project, sets = entries[PROJECT_FILE].sha, entries[SETS_FILE].sha
        if (project, sets) == self._read_from:
            return self._refused
        contents = self._view.read([project, sets])
        self._read_from = (project, sets)
        try:
            self._controller.project = load_project(contents[project].decode())
            self._adopt_manifests(contents[sets].decode(), self._controller.project)
            self._refused = None
        except (UnsupportedProject, UnsupportedSet) as error:
            self.sets, self._refused = {}, str(error)
            log.error("devcluster.applicationset_refused", reason=str(error))
        return self._refused

    def _adopt_manifests(self, text: str, project: Project) -> None:
        known = self.sets
        self.sets = {}
        for manifest in load_sets(text):
            name = manifest["metadata"]["name"]
            one = known.get(name)
            if one is None or one.manifest != manifest:
                one = ApplicationSet(manifest)
            if one.spec["template"]["spec"].get("project") != project.name:
                raise UnsupportedSet(f"applicationsets.yaml: set {name} is of another project")
            self.sets[name] = one

    def _reconcile_set(self, one: ApplicationSet, commit: str | None) -> None:
        before = one.failed
        try:
            if commit is None:
                raise GenerationError(
                    "error generating params from git: unable to resolve "
                    f"'{one.revision}' to a commit SHA"
                )
            if self._broken.has("frozen-set"):
                raise GenerationError(_MALFORMED)
            self._apply(one, one.generate(commit, self._view))
        except GenerationError as error:
            one.report(error)
            log.warning("devcluster.set_failed", set=one.name, reason=str(error))
        else:
            one.report(None)
            if before:
                log.info("devcluster.set_recovered", set=one.name)

    def _apply(self, one: ApplicationSet, generated: Generated) -> None:
        first_error: GenerationError | None = None
        for name, rendered in sorted(generated.items()):
            try:
                check_labels(rendered)
            except GenerationError as error:  # that one is not written; the others are
                first_error = first_error or error
                continue
            application = self._controller.registry.get(name)
            if application is None:
                self._create(one, rendered)
            else:
                self._update(application, rendered)
        if first_error is not None:
            raise first_error

    def _create(self, one: ApplicationSet, rendered: dict[str, Any]) -> None:
        application = _application(one, rendered)
        log.info("devcluster.application_created", application=application.name)
        self._controller.adopt(application)

    def _update(self, application: Application, rendered: dict[str, Any]) -> None:
        wanted = deepcopy(rendered)
        metadata, spec = wanted["metadata"], wanted["spec"]
        metadata.setdefault("annotations", {})
        with application.lock:
            if HYDRATE in application.annotations:
                metadata["annotations"][HYDRATE] = application.annotations[HYDRATE]
            moved = spec != application.spec
            if not moved and metadata == application.metadata:
                return
            application.metadata, application.spec = metadata, spec
            self._controller.registry.publish(application)
        if moved:
            self._controller.compare_later(application)

    def _compare_moved(self, heads: Mapping[str, str]) -> None:
        """The poll of the Applications themselves: those that stand at another commit."""
        for application in self._controller.registry.applications():
            head = heads.get(application.source["targetRevision"])
            if application.reconciled and application.revision != head:
                self._controller.compare_later(application)


def _application(one: ApplicationSet, rendered: dict[str, Any]) -> Application:
    wanted = deepcopy(rendered)
    metadata, spec = wanted["metadata"], wanted["spec"]
    metadata.setdefault("annotations", {})
    return Application(
        name=metadata["name"], metadata=metadata, spec=spec, set_name=one.name, set_uid=one.uid
    )


def _plain(repository: str) -> str:
    """A repository's URL without what does not matter for telling two apart."""
    return repository.strip().rstrip("/").removesuffix(".git").casefold()

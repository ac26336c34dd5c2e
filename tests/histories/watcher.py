"""The service's part in a history: looks, judges, tells and asks, as the watcher of a cell does."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tenantry.core import readiness, standing
from tenantry.core.application import Application, parse_application
from tenantry.core.model import State, Status
from tenantry.core.readiness import TARGETS, Trees, Wanted
from tenantry.core.standing import Act, Look, Rules, Standing
from tests.histories.argo import BEGINNING, Argo, Glimpse
from tests.histories.cluster import Content
from tests.histories.oracle import find_wrong_failed, find_wrong_ready

RULES = Rules()


class Wrong(Exception):
    """Something was told that is not so."""


@dataclass
class Watcher:
    """`may_sync`: whether Argo CD lets it. `attempts` made, `readies` and `faileds` told."""

    argo: Argo
    may_sync: bool = True
    standing: Standing = field(default_factory=lambda: Standing(Status.PENDING))
    published: Content | None = None
    generation: int = 0
    published_at: datetime = BEGINNING
    attempts: int = 0
    readies: int = 0
    faileds: int = 0

    def publish(self, content: Content, now: datetime) -> None:
        self.published, self.published_at = content, now
        self.generation += 1
        self.attempts = 0

    def look(self, glimpse: Glimpse, now: datetime, second: int) -> None:
        """Raises Wrong."""
        if self.published is None:
            return
        app = parse_application(glimpse.body) if glimpse.body is not None else None
        verdict = self._judge(self.published, app)
        arrived = verdict.reason_code == TARGETS[State.ACTIVE]
        uid = app.uid if app else ""
        look = Look(verdict, self.generation, self.published_at, uid, arrived)
        before = self.standing.status
        step = standing.follow(self.standing, look, now, RULES)
        self.standing = step.standing
        self._check(self.published, before, glimpse)
        self._act(step.act, second)

    def _judge(self, published: Content, app: Application | None) -> readiness.Verdict:
        wanted = Wanted(State.ACTIVE, published.tenant, published.platform, published=True)
        compared = self._trees(app.compared_commit if app else None)
        applied = self._trees(app.applied_commit if app else None)
        before = self.standing.status
        verdict = readiness.judge(wanted, app, compared, applied, None, before)
        if not (verdict.needs_probe or verdict.healthy):
            return verdict
        answers = self.argo.cluster.answers
        return readiness.judge(wanted, app, compared, applied, answers, before)

    def _trees(self, commit: str | None) -> Trees | None:
        git = self.argo.git
        if commit is None or commit in git.hidden:
            return None
        return Trees(*git.contents[commit])

    def _check(self, published: Content, before: Status, glimpse: Glimpse) -> None:
        told, truth = self.standing.status, glimpse.truth
        wrong = None
        if told is before:
            return
        if told is Status.READY:
            self.readies += 1
            answers = self.argo.cluster.answers
            wrong = find_wrong_ready(published, truth, answers=answers)
        elif told is Status.FAILED:
            self.faileds += 1
            wrong = find_wrong_failed(published, truth, attempts=self.attempts)
        if wrong:
            raise Wrong(f"{told}, but {wrong}")

    def _act(self, act: Act, second: int) -> None:
        if act is Act.NOTHING:
            return
        self.attempts += 1
        if act is Act.REFRESH:
            self.argo.compare(second)  # it is answered once this is done
        elif self.may_sync:
            self.argo.ask_sync()


def clock(second: int, skew: int) -> datetime:
    return BEGINNING + timedelta(seconds=second + skew)

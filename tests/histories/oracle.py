"""What may be told of a tenant, judged by what was really so."""

from __future__ import annotations

from tests.histories.argo import Truth
from tests.histories.cluster import UNBUILDABLE, Content

ATTEMPTS = 3


def find_wrong_ready(published: Content, truth: Truth, *, answers: bool) -> str | None:
    """Why `ready` was wrong to tell; None where it was right."""
    if not truth.exists or truth.removing:
        return "nothing is meant to run"
    if truth.running != published or truth.spec != published:
        return f"{truth.running} runs, {truth.spec} is applied, {published} is published"
    if not truth.is_well:
        return "it is not well"
    return None if answers else "it does not answer"


def find_wrong_failed(published: Content, truth: Truth, *, attempts: int) -> str | None:
    """Why `failed` was wrong to tell; None where it was right."""
    if attempts < ATTEMPTS:
        return f"{attempts} attempts were made"
    is_at_head = truth.head is not None and truth.head.tenant == published.tenant
    cannot_be_built = is_at_head and published.kind == UNBUILDABLE
    if truth.operating and not cannot_be_built:  # what cannot be built is not what it applies
        return "an operation is under way"
    is_sick = truth.spec == published and not truth.is_well
    if truth.failed == published or is_sick or cannot_be_built:
        return None
    return f"{published} did not fail, {truth.failed} did"

"""The reviewer of a demo that runs as a script: presses the page's button, as a person would."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from tenantry.adapters.git import remote_head
from tenantry.cli.demo.stack import SESSION, Stack
from tenantry.core.errors import TenantryError
from tenantry.core.review import branch_of

MERGED_WITHIN = 60.0  # seconds
TIMEOUT = 30.0  # seconds for one request


def merge_review(stack: Stack, customer_id: str, check: Callable[[], None]) -> None:
    """Wait for the branch of a new customer's signup and merge it. TenantryError where it does not
    come or cannot be merged; `check` raises where going on is pointless.
    """
    branch = branch_of(customer_id)
    give_up = time.monotonic() + MERGED_WITHIN
    while not _merge(stack, branch):
        check()
        if time.monotonic() > give_up:
            raise TenantryError(f"{branch} could not be merged", remedy=f"see {stack.reviews_url}")
        time.sleep(0.1)


def _merge(stack: Stack, branch: str) -> bool:
    """Whether it is merged: not where it is not there yet, or moves at this moment."""
    head = remote_head(str(stack.repository), branch)
    if head is None:
        return False
    answer = SESSION.post(
        f"{stack.reviews_url}/{branch}/merge",
        data={"head": head},
        headers={"Origin": stack.stand_in_url},
        allow_redirects=False,
        timeout=TIMEOUT,
    )
    if answer.status_code not in {HTTPStatus.SEE_OTHER, HTTPStatus.CONFLICT}:
        raise TenantryError(f"the merge was answered with {answer.status_code}")
    return answer.status_code == HTTPStatus.SEE_OTHER

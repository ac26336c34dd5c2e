"""Mistakes that the state machine must find: each changes the product as a slip of hand might.

A mutation replaces a piece of a function's source, which must be there, so that one that no longer
fits the product says so instead of passing for caught.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import Any

import pytest

from tenantry.adapters.database.tables import Tenant
from tenantry.adapters.git import Before, TenantsRepository, remote
from tenantry.core import signup as signup_rules
from tenantry.core.errors import PushRejected
from tenantry.flows import generation
from tenantry.flows.publishing import batch, due, edited, ledger, sealing
from tenantry.flows.service import Service
from tenantry.flows.signups import customer, repeats, signup


class DoesNotFit(Exception):
    """The product reads otherwise now; write the mutation anew."""


@dataclass(frozen=True)
class Mutation:
    """What would be wrong, and how to make it so."""

    breaks: str
    apply: Callable[[pytest.MonkeyPatch], None]


def _rewrite(owner: ModuleType | type, name: str, old: str, new: str) -> Any:
    """The function `owner.name` with one piece of its source replaced."""
    function = inspect.unwrap(getattr(owner, name))
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(old) != 1:
        raise DoesNotFit(f"{owner.__name__}.{name}: {old!r}")
    found: dict[str, Any] = {}
    exec(source.replace(old, new), function.__globals__, found)  # noqa: S102 - our own source
    return found[name]


def _importers(name: str, function: object) -> list[ModuleType]:
    """Modules of the product that took the function over by its name."""
    product = [module for path, module in sys.modules.items() if path.startswith("tenantry.")]
    return [module for module in product if getattr(module, name, None) is function]


def _replaced(*edits: tuple[ModuleType | type, str, str, str]) -> Callable[..., None]:
    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name, old, new in edits:
            right, wrong = getattr(owner, name), _rewrite(owner, name, old, new)
            monkeypatch.setattr(owner, name, wrong)
            for module in _importers(name, right):
                monkeypatch.setattr(module, name, wrong)

    return apply


def _replay(monkeypatch: pytest.MonkeyPatch) -> None:
    build, push = TenantsRepository.build, TenantsRepository.push
    last: list[Any] = []

    def remember(self: TenantsRepository, parent: Any, changes: Any, now: datetime) -> Any:
        last[:] = [changes, now]
        return build(self, parent, changes, now)

    def insist(self: TenantsRepository, branches: Mapping[str, str]) -> Before:
        try:
            return push(self, branches)
        except PushRejected:
            build(self, self.fetch(), *last)
            return push(self)

    monkeypatch.setattr(TenantsRepository, "build", remember)
    monkeypatch.setattr(TenantsRepository, "push", insist)


def _sign_up_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    second = "    issued = _issue_trial_license("
    halves = _rewrite(customer, "create_customer", second, f"    session = yield\n{second}")

    def store(service: Service, request: Any, claim: Any, now: datetime) -> Any:
        with service.database.write() as session:
            founding = halves(service, session, request, "hash", now=now)
            next(founding)
        with service.database.write() as session:
            try:
                founding.send(session)
            except StopIteration as done:
                if claim:
                    repeats.keep_answer(service, session, claim, done.value)
                return done.value

    monkeypatch.setattr(signup, "_store", store)


_PUSH_FOR_BETTER_OR_WORSE = """\
    try:
        before = cell.repository.push(branches)
    except RepositoryError:
        before = {}
"""
_ANSWER_BY_ITSELF = """\
        if claim:
            with service.database.write() as session:
                repeats.keep_answer("""

MUTATIONS: Mapping[str, Mutation] = {
    "a push is not recorded before it is made": Mutation(
        "After a death between push and record, the publisher's own commit passes for an edit.",
        _replaced((ledger, "intend", "if not pushes:", "if True:")),
    ),
    "what landed is recorded without regard to generations": Mutation(
        "A publisher that slept records an old generation over a newer one, which is made again.",
        _replaced(
            (
                ledger,
                "accept",
                "if tenant.published_generation < landed[tenant.customer_id].generation",
                "",
            ),
        ),
    ),
    "a rejected push is replayed": Mutation(
        "Commits built from old rows and an old main land on what others wrote meanwhile.",
        _replay,
    ),
    "a push is forced": Mutation(
        "What others pushed meanwhile is gone.",
        _replaced((remote.Remote, "_push", 'f"{commit}:', 'f"+{commit}:')),
    ),
    "an edit by hand is overwritten": Mutation(
        "A reviewer's work is lost at the next change.",
        lambda monkeypatch: monkeypatch.setattr(
            edited, "keep_edits", lambda _service, _cell, _due, shall, _standing: shall
        ),
    ),
    "an edit is forgotten once it is kept": Mutation(
        "A reviewer's work is lost at the change after the next.",
        _replaced((ledger, "keep", "write_edit(edit)", "write_edit(None)")),
    ),
    "a push that keeps an edit is recorded as one of ours alone": Mutation(
        "After a death between push and record, a reviewer's work is lost.",
        _replaced((ledger, "intend", "                **write_edit(push.edit),\n", "")),
    ),
    "customer and tenant are stored in two transactions": Mutation(
        "After a death in between there is a customer who never gets an instance.",
        _sign_up_in_halves,
    ),
    "an e-mail is compared as it was typed": Mutation(
        "One mailbox has two accounts.",
        _replaced((signup_rules, "email_key", "local_part.casefold()", "local_part")),
    ),
    "a tenant that failed once is never tried again": Mutation(
        "After a passing failure the customer waits for ever.",
        lambda monkeypatch: monkeypatch.setattr(due, "may_try", lambda *_: Tenant.attempts == 0),
    ),
    "a failed push is recorded as landed": Mutation(
        "The customer is told of an instance that is on no main.",
        _replaced(
            (
                batch,
                "_push",
                "    before = cell.repository.push(branches)",
                _PUSH_FOR_BETTER_OR_WORSE,
            ),
        ),
    ),
    "a change does not raise the generation": Mutation(
        "Main goes on showing the old name.",
        _replaced(
            (
                generation,
                "raise_generation",
                "    is_waited_for =",
                "    return\n    is_waited_for =",
            )
        ),
    ),
    "secrets are sealed anew in each pass": Mutation(
        "Each change of anything rewrites every secret.",
        _replaced(
            (
                sealing,
                "sealed_values",
                "kept = _kept(session, specs, sealer)",
                "kept = {spec.customer_id: {} for spec in specs}",
            ),
            (sealing, "_store", "if key not in kept[spec.customer_id]", "if True"),
        ),
    ),
    "a request's answer is kept in a transaction of its own": Mutation(
        "After a death in between, the client that asks again is told that the e-mail is taken.",
        _replaced(
            (
                signup,
                "_store",
                "            if claim:\n                repeats.keep_answer(",
                _ANSWER_BY_ITSELF,
            ),
        ),
    ),
}

# What is tried each time; `EXAMPLES=1 make test ARGS="-k mutation"` tries all of them.
OFTEN = ("secrets are sealed anew in each pass",)

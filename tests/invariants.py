"""What must be so after every system test, whatever happened in it.

Reads database and repository with as little of the product's code as possible: Git is asked by its
own command line, tokens are opened by PyJWT, and only the expected bytes come from `render`.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from email import policy
from email.parser import BytesParser
from itertools import pairwise
from pathlib import Path

import jwt
from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import (
    Audit,
    Change,
    Customer,
    Deployment,
    Event,
    IdempotencyKey,
    LicenseHistory,
    LicenseRow,
    Outbox,
    Publication,
    Repository,
    SealedValue,
    Secret,
    Subscription,
    Tenant,
)
from tenantry.core import naming
from tenantry.core.model import LicenseAction, Status, TenantSpec, may_move
from tenantry.core.overlay import render
from tenantry.flows.accounts.waiting import is_waiting
from tenantry.flows.publishing import shards
from tenantry.flows.service import Cell, Service
from tests.leaks import forms, plain_forms, readable
from tests.mailbox import mail_folder

FEW = 60  # stored secrets; each form of more of them would take minutes to look for


def check_invariants(
    service: Service,
    *,
    canaries: Iterable[str] = (),
    only_in_mail: Iterable[str] = (),
    logs: Path | None = None,
) -> None:
    """AssertionError where anything was lost, doubled, leaked or disagrees.

    `canaries` are secrets that the test knows, such as passwords; `only_in_mail` those that a mail
    may carry; `logs` a folder of log files, and of what else strangers can see.
    """
    customer_ids = check_customers(service)
    with service.database.read() as session:
        for cell in service.cells.values():
            _check_repository(service, cell, session)
        _check_keys(service, session, customer_ids)
        stored = _secrets(service, session)
    _check_mailbox(service)
    look_closely = forms if len(stored) <= FEW else plain_forms
    needles = {form for secret in stored for form in look_closely(secret)}
    needles |= {form for secret in canaries for form in forms(secret)}
    links = {form for secret in only_in_mail for form in forms(secret)}
    _check_nothing_leaked(service, needles, links, logs)


def check_customers(service: Service) -> set[str]:
    """The same of the customers' rows alone; their ids."""
    with service.database.read() as session:
        customers = session.scalars(select(Customer)).all()
        for customer in customers:
            _check_customer(service, session, customer)
        return {customer.customer_id for customer in customers}


def _check_keys(service: Service, session: Session, customers: set[str]) -> None:
    """What a repeated request would be answered speaks of one customer, who exists, and no two
    keys of the same."""
    wrapped = session.scalars(select(IdempotencyKey.wrapped)).all()
    answered = [json.loads(service.vault.unwrap(each)) for each in wrapped if each is not None]
    answered_ids = [each["customer_id"] for each in answered]
    assert set(answered_ids) <= customers
    assert len(set(answered_ids)) == len(answered_ids)


def _check_customer(service: Service, session: Session, customer: Customer) -> None:
    tenant = session.get(Tenant, customer.customer_id)
    assert tenant is not None, f"{customer.customer_id} has no tenant"
    assert session.get(Subscription, customer.customer_id) is not None
    assert tenant.name == naming.tenant_name(naming.key_of(customer.customer_id))
    assert 0 <= tenant.published_generation <= tenant.generation
    if is_waiting(tenant):
        changes = select(Change.id).where(Change.customer_id == customer.customer_id)
        assert session.scalars(changes).all() == []
    _check_license(service, session, tenant)
    _check_history(session, tenant)
    _check_audit(session, tenant)


def _check_license(service: Service, session: Session, tenant: Tenant) -> None:
    spec = TenantSpec.model_validate(tenant.approved)
    row = session.get_one(LicenseRow, spec.license_id)
    token = service.vault.unwrap(row.wrapped)
    assert hashlib.sha256(token.encode()).hexdigest() == row.token_hash
    header = jwt.get_unverified_header(token)
    assert header["kid"] == row.key_id
    claims = jwt.decode(
        token,
        service.keyring.public[row.key_id].pem,
        algorithms=["EdDSA", "RS256"],
        audience=service.product.name,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert (claims["sub"], claims["jti"], claims["plan"]) == (
        tenant.customer_id, row.license_id, row.plan,
    )  # fmt: skip
    assert claims["exp"] == int(row.expires_at.timestamp())
    history = select(LicenseHistory).where(
        LicenseHistory.license_id == row.license_id,
        LicenseHistory.action != LicenseAction.REVOKED,
    )
    (entry,) = session.scalars(history).all()
    assert (entry.customer_id, entry.license_hash, entry.plan) == (
        tenant.customer_id, row.token_hash, row.plan,
    )  # fmt: skip
    assert entry.max_devices == claims["limits"].get("max_devices")


def _check_history(session: Session, tenant: Tenant) -> None:
    events = session.scalars(
        select(Event).where(Event.customer_id == tenant.customer_id).order_by(Event.id)
    ).all()
    assert events[0].status == Status.PENDING
    assert events[-1].status == tenant.status
    for before, after in pairwise(events):
        assert may_move(Status(before.status), Status(after.status))
        assert (before.status, before.reason_code) != (after.status, after.reason_code)
    deployments = session.scalars(
        select(Deployment)
        .where(Deployment.customer_id == tenant.customer_id)
        .order_by(Deployment.generation)
    ).all()
    last = max(tenant.generation, 1)  # that of a signup stands, though it waits for a review
    assert [row.generation for row in deployments] == list(range(1, last + 1))
    for row in deployments:
        steps = [row.wanted_at, row.published_at, row.seen_at, row.synced_at, row.healthy_at,
                 row.ready_at]  # fmt: skip
        reached = [at for at in steps if at is not None]
        assert reached == sorted(reached), f"{tenant.customer_id}: {steps}"
        assert (row.published_at is not None) == (row.generation <= tenant.published_generation)


def _check_audit(session: Session, tenant: Tenant) -> None:
    rows = session.scalars(select(Audit).where(Audit.customer_id == tenant.customer_id)).all()
    actions = Counter(row.action for row in rows)
    assert actions["customer.signed_up"] == 1
    accepted = session.scalars(
        select(Publication).where(
            Publication.customer_id == tenant.customer_id, Publication.accepted_at.is_not(None)
        )
    ).all()
    published = [row.details["generation"] for row in rows if row.action == "tenant.published"]
    assert len(published) == len(set(published)), "a generation was published twice"
    assert {row.generation for row in accepted} <= set(published)
    if tenant.published_generation:
        assert tenant.published_generation == max(published)


def _check_repository(service: Service, cell: Cell, session: Session) -> None:
    tenants = session.scalars(select(Tenant).where(Tenant.cell == cell.name)).all()
    shown = {tenant.name: tenant for tenant in tenants if tenant.published_generation}
    remote = cell.repository.url
    if not _git(remote, "for-each-ref", "refs/heads/main"):
        assert not shown
        return
    _git(remote, "fsck", "--strict")
    standing = _read_tenants(remote)
    assert standing.keys() == {naming.folder(name) for name in shown}, (
        "a tenant was lost or doubled"
    )
    trees = _tree_ids(remote, standing)
    for name, tenant in shown.items():
        folder = naming.folder(name)
        assert trees[folder] == tenant.accepted_tree, f"{name} is not the accepted one"
        if tenant.published_generation == tenant.generation:
            _check_bytes(service, cell, session, tenant, standing[folder])
    _check_commits(remote, set(shown))
    _check_shards(cell, session)


def _check_bytes(
    service: Service, cell: Cell, session: Session, tenant: Tenant, standing: dict[str, bytes]
) -> None:
    sealed = select(SealedValue).where(SealedValue.customer_id == tenant.customer_id)
    local = {name: content for name, content in standing.items() if name.startswith("local/")}
    files = render(
        TenantSpec.model_validate(tenant.approved),
        {row.key: row.ciphertext for row in session.scalars(sealed)},
        product=service.product,
        templates=service.templates,
        cell=cell.facts,
        has_local=bool(local),
    )
    for name in tenant.edited_files or ():  # by hand
        files.pop(name, None)
        standing.pop(name, None)
    assert files | local == standing, tenant.name


def _check_commits(remote: str, names: set[str]) -> None:
    """Each commit touches one tenant, and none is made twice: only after somebody else's commit may
    a generation be committed again.
    """
    form = "--format=%x01%(trailers:key=Generation,valueonly,separator=)"
    log = _git(remote, "log", "--first-parent", "--reverse", form, "--name-only", "main").decode()
    made: dict[str, set[str]] = {}
    for commit in log.split("\1")[1:]:
        generation, *rest = commit.splitlines()
        paths = [line for line in rest if line]
        touched = {path.split("/")[2] for path in paths if path.startswith("tenants/")}
        assert len(touched) <= 1, f"a commit touches several tenants: {touched}"
        assert touched <= names
        assert paths, "an empty commit"
        for name in touched:
            before = made.setdefault(name, set())
            assert generation not in before, f"{name}: generation {generation} committed twice"
            if generation:
                before.add(generation)
            else:
                before.clear()


def _check_shards(cell: Cell, session: Session) -> None:
    """Each shard's branch is a commit of main, and once it followed what people wrote last, shows
    the shard's folders as main does. Not where main's history was replaced below it.
    """
    replaced = select(Audit.id).where(Audit.action == "repository.history_accepted")
    row = session.get(Repository, cell.name)
    if session.scalar(replaced) or (row and row.halted):
        return
    if _lagging(cell):
        shards.move_late(cell, shards.look(cell, str(cell.repository.fetch())))
    assert not _lagging(cell)
    at = _git(cell.repository.url, "for-each-ref", "--format=%(objectname)", "refs/heads/shard/")
    history = _git(cell.repository.url, "rev-list", "main")  # not by dates, as `--no-merged` is
    assert set(at.split()) <= set(history.split())


def _lagging(cell: Cell) -> list[str]:
    """The folders that main does not show as the branch of their shard does."""
    folders = [f"tenants/{number:02x}" for number in range(256)]
    branches = [f"refs/heads/shard/{n * cell.shards // 256:02x}" for n in range(256)]
    roots = (["refs/heads/main"] * 256, branches)
    names = [[f"{root}:{each}" for root, each in zip(side, folders, strict=True)] for side in roots]
    asked = [*names[0], *names[1], *(f"{branch}^{{commit}}" for branch in branches)]
    answers = _batch(cell.repository.url, "--batch-check", asked).decode().splitlines()
    found = [line.split()[0] if line.split()[-1].isdigit() else None for line in answers]
    main, shown, there = found[:256], found[256:512], found[512:]
    rows = zip(folders, main, shown, there, strict=True)
    return [folder for folder, is_so, is_shown, commit in rows if is_so != is_shown or not commit]


def _check_mailbox(service: Service) -> None:
    """What the outbox calls sent is in the mailbox, once, and what it withholds is not. (It may
    fill up while we look.)
    """
    with service.database.read() as session:
        rows = session.scalars(select(Outbox)).all()
    letters = [
        BytesParser(policy=policy.default).parsebytes(path.read_bytes())
        for path in mail_folder(service).glob("*.eml")
    ]
    identities = Counter(str(letter["Message-ID"]) for letter in letters)
    assert all(count == 1 for count in identities.values()), "a mail was sent twice"
    handed_over = {identity.strip("<").partition("@")[0] for identity in identities}
    for row in rows:
        is_there = f"{row.kind}-{row.customer_id}-{row.id}" in handed_over
        assert not (row.sent_at and row.withheld_at)
        if row.sent_at:
            assert (is_there, row.wrapped) == (True, None)
        if row.withheld_at:
            assert (is_there, row.wrapped) == (False, None)


def _secrets(service: Service, session: Session) -> list[str]:
    rows = [*session.scalars(select(Secret)), *session.scalars(select(LicenseRow))]
    return [service.vault.unwrap(row.wrapped) for row in rows]


def _check_nothing_leaked(
    service: Service, needles: set[bytes], links: set[bytes], logs: Path | None
) -> None:
    places = {"database": _database_bytes(service)}
    for cell in service.cells.values():
        objects = ("cat-file", "--batch", "--batch-all-objects")
        places[f"objects of {cell.name}"] = _git(cell.repository.url, *objects)
    files = [path for path in (logs.rglob("*") if logs else ()) if path.is_file()]
    places |= {str(path): path.read_bytes() for path in files}
    for place, content in places.items():
        for needle in needles | links:
            assert needle not in content, f"a secret stands in {place}"
    for path in mail_folder(service).glob("*"):
        content = readable(path)
        for needle in needles:
            assert needle not in content, f"a secret stands in {path.name}"


def _database_bytes(service: Service) -> bytes:
    """Every column of every row; of SQLite also the files themselves."""
    with service.database.read() as session:
        rows = [session.execute(select(table)).all() for table in Base.metadata.sorted_tables]
    content = json.dumps(
        [[str(value) for value in row] for table in rows for row in table]
    ).encode()
    if service.database.is_sqlite():
        file = Path(str(service.database.engine.url.database))
        content += b"".join(path.read_bytes() for path in file.parent.glob(file.name + "*"))
    return content


def _git(remote: str, *arguments: str) -> bytes:
    return subprocess.run(
        ["git", f"--git-dir={remote}", *arguments], check=True, capture_output=True
    ).stdout


def _read_tenants(remote: str) -> dict[str, dict[str, bytes]]:
    """Every file of main below tenants/: folder of the tenant -> path within it -> content."""
    listed = _git(remote, "ls-tree", "-r", "-z", "--name-only", "main", "tenants/").decode()
    paths = [path for path in listed.split("\0") if path]
    stream = io.BytesIO(_batch(remote, "--batch", [f"main:{path}" for path in paths]))
    found: dict[str, dict[str, bytes]] = {}
    for path in paths:
        size = int(stream.readline().split()[2])
        folder, name = "/".join(path.split("/")[:3]), "/".join(path.split("/")[3:])
        assert name, f"a file that belongs to no tenant: {path}"
        found.setdefault(folder, {})[name] = stream.read(size)
        stream.read(1)
    return found


def _tree_ids(remote: str, folders: Iterable[str]) -> dict[str, str]:
    names = list(folders)
    lines = _batch(remote, "--batch-check", [f"main:{name}" for name in names]).decode()
    return dict(zip(names, (line.split()[0] for line in lines.splitlines()), strict=True))


def _batch(remote: str, kind: str, objects: list[str]) -> bytes:
    return subprocess.run(
        ["git", f"--git-dir={remote}", "cat-file", kind],
        input="".join(f"{name}\n" for name in objects).encode(),
        check=True,
        capture_output=True,
    ).stdout

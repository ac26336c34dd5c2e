"""What the schema itself guarantees, on both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta, timezone
from subprocess import PIPE

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tenantry.adapters.database import schema
from tenantry.adapters.database.base import Base
from tenantry.adapters.database.session import Database, upsert
from tenantry.adapters.database.tables import Audit, Customer, LicenseRow
from tenantry.core.errors import SettingsError

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def customer(number: int, **changes: object) -> Customer:
    values: dict[str, object] = {
        "customer_id": f"cust-{number}",
        "email": f"{number}@example.com",
        "email_key": f"{number}@example.com",
        "company_name": "Ünïcode 🔑",
        "time_zone": "UTC",
        "password_hash": "x",
        "status_token_hash": f"hash-{number}",
        "created_at": NOON,
    }
    return Customer(**(values | changes))


def test_migrations_lead_to_the_tables_that_the_code_knows(empty_database_url: str) -> None:
    with closing(Database(empty_database_url)) as database:
        schema.upgrade(database)
        check_tables(database)


def test_license_from_before_has_a_grace_that_is_long_enough(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then its key is kept, and it can be revoked."""
    to_head = command.upgrade
    with closing(Database(empty_database_url)) as database:
        monkeypatch.setattr(command, "upgrade", lambda config, _: to_head(config, "0005"))
        schema.upgrade(database)
        with database.write() as session:
            for statement in ISSUED_BEFORE:
                session.execute(text(statement), {"at": sent(database, NOON)})
        monkeypatch.setattr(command, "upgrade", to_head)
        schema.upgrade(database)
        with database.read() as session:
            later = LicenseRow.grace_until > NOON + timedelta(days=29)
            row = session.scalars(select(LicenseRow).where(later)).one()
            assert (row.expires_at, row.grace_until) == (NOON, NOON + timedelta(days=30))


ISSUED_BEFORE = (
    """INSERT INTO customers (customer_id, email, email_key, company_name, time_zone,
    password_hash, status_token_hash, created_at) VALUES ('c', 'e', 'e', 'n', 'UTC', 'x', 'x', :at)
    """,
    """INSERT INTO licenses (license_id, customer_id, plan, kind, key_id, token_hash, wrapped,
    issued_at, expires_at) VALUES ('l', 'c', 'p', 'trial', 'k', 'x', 'x', :at, :at)""",
)


def sent(database: Database, at: datetime) -> object:
    """A time as the database holds it."""
    return str(at.replace(tzinfo=None)) if database.is_sqlite() else at


def check_tables(database: Database) -> None:
    assert schema.current(database) == schema.head()
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []


def test_many_may_open_and_upgrade_a_new_database_at_once(empty_database_url: str) -> None:
    """All that a process needs for it is loaded before it waits for its turn, so that they meet."""
    code = (
        "import sys; from tenantry.adapters.database import schema, session;"
        "database = session.Database(sys.argv[1]);"
        "schema.head(); print('ready', flush=True); sys.stdin.readline();"
        "print(schema.upgrade(database))"
    )
    upgrade = [sys.executable, "-c", code, empty_database_url]
    with ExitStack() as running:
        all_of_them = [
            running.enter_context(subprocess.Popen(upgrade, stdin=PIPE, stdout=PIPE, text=True))
            for _ in range(8)
        ]
        for each in all_of_them:
            assert each.stdout
            assert each.stdout.readline() == "ready\n"
        for each in all_of_them:
            assert each.stdin
            each.stdin.write("go\n")
            each.stdin.flush()
        reached = [each.communicate(timeout=60)[0].strip() for each in all_of_them]
    assert reached == [schema.head()] * 8


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_audit_is_append_only(database: Database, change: str) -> None:
    with database.write() as session:
        session.add(Audit(at=NOON, actor="test", action="a", customer_id=None, details={"n": 1}))
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        session.execute(text(change))
    with database.read() as session:
        assert session.scalars(select(Audit.actor)).all() == ["test"]


def test_one_email_makes_one_customer(database: Database) -> None:
    with database.write() as session:
        session.add(customer(1))
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(customer(2, email_key="1@example.com"))


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with database.write() as session:
        session.add(customer(1, created_at=elsewhere))
    with database.read() as session:
        found = session.get_one(Customer, "cust-1")
        assert found.created_at == NOON
        assert found.created_at.utcoffset() == timedelta(0)
        assert found.company_name == "Ünïcode 🔑"


def test_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="without time zone"), database.write() as session:
        session.add(customer(1, created_at=NOON.replace(tzinfo=None)))


def test_exception_rolls_everything_back(database: Database) -> None:
    def fail_halfway() -> None:
        with database.write() as session:
            session.add(customer(1))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    with database.read() as session:
        assert session.get(Customer, "cust-1") is None


def test_what_is_changed_in_a_read_is_not_kept(database: Database) -> None:
    with database.write() as session:
        session.add(customer(1))
    with database.read() as session:
        session.get_one(Customer, "cust-1").company_name = "Another"
        session.add(customer(2))
        assert len(session.scalars(select(Customer.customer_id)).all()) == 1
    with database.read() as session:
        assert session.scalars(select(Customer.company_name)).all() != ["Another"]


def test_writers_queue_up_instead_of_failing(database: Database) -> None:
    """On SQLite, reading and then writing would fail in one of two, but for BEGIN IMMEDIATE."""

    def add_one(number: int) -> None:
        with database.write() as session:
            session.scalars(select(Customer)).all()
            session.add(customer(number))

    threads = [threading.Thread(target=add_one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert len(session.scalars(select(Customer)).all()) == 12


def test_specification_view_is_there(database: Database) -> None:
    with database.read() as session:
        columns = session.execute(text("SELECT * FROM customer_deployments")).keys()
    assert {
        "customer_id",
        "email",
        "deployment_status",
        "instance_url",
        "deployed_at",
        "deployment_error",
    } <= set(columns)


def test_unsupported_database_is_refused_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match="postgresql\\+psycopg"):
        Database("mysql+pymysql://x/y")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql+psycopg://x:canary@127.0.0.1:1/x", "refused"),
        ("postgresql+psycopg://x:canary@127.0.0.1/x?sort_of=y", "sort_of"),
        ("sqlite:////dev/null/x.db", "unable to open"),
        ("sqlite:////etc/hostname", "not a database"),
    ],
)
def test_database_that_does_not_answer_says_why_and_no_password(url: str, why: str) -> None:
    said = Database(url).why_unavailable()
    assert said is not None
    assert why in said
    assert "canary" not in said


def test_database_that_answers_has_no_reason_not_to(database: Database) -> None:
    assert database.why_unavailable() is None


def test_as_many_connections_are_kept_as_there_are_threads(database_url: str) -> None:
    """Beyond SQLAlchemy's own default, on both databases."""
    with closing(Database(database_url, pool_size=30)) as database, ExitStack() as sessions:
        for _ in range(30):
            sessions.enter_context(database.read()).execute(text("SELECT 1"))
        sessions.close()
        assert database.engine.pool.status().startswith("Pool size: 30  Connections in pool: 30")


def test_upsert_replaces_by_primary_key(database: Database) -> None:
    row = {name: getattr(customer(1), name) for name in Customer.__table__.columns.keys()}  # noqa: SIM118
    with database.write() as session:
        upsert(session, Customer, [row])
        upsert(session, Customer, [row | {"company_name": "New"}])
    with database.read() as session:
        assert session.scalars(select(Customer.company_name)).all() == ["New"]

"""PostgreSQL takes its password from the secret at its first start and never again, which is why
that secret's class of rotation is `never`.
"""

from __future__ import annotations

import psycopg
import pytest
import yaml

from tests.contract.stack.database import OWNER, Server, started
from tests.contract.stack.deployment import BASE
from tests.contract.stack.local import own_folder

PRODUCT = BASE.parents[2] / "product.yaml"
FIRST, SECOND = "Jm4wTq9ZkRb2XvL6", "Hn7cYs3GdPf8KuW5"


def assert_opens(server: Server, *, right: str, wrong: str) -> None:
    for user in (OWNER, "grafana"):
        server.connect(user, right).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            server.connect(user, wrong)


def test_the_first_start_takes_the_password_and_no_later_one_does() -> None:
    with own_folder() as folder:
        with started(folder, FIRST) as server:
            assert_opens(server, right=FIRST, wrong=SECOND)
        with started(folder, SECOND) as server:
            assert_opens(server, right=FIRST, wrong=SECOND)


def test_so_the_product_file_never_rotates_it() -> None:
    keys = yaml.safe_load(PRODUCT.read_text("utf-8"))["secret"]["keys"]
    assert keys["POSTGRES_PASSWORD"]["rotation"] == "never"

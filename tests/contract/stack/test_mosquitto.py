"""The tenant's MQTT broker, a real one with our configuration: devices with the secret's password
get in, by MQTT and by WebSocket, also through the tenant's Nginx, and nobody else does.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.stack.backends import Backend, refusing, serving
from tests.contract.stack.broker import WAIT, Broker, broker, device, prepare, write_passwords
from tests.contract.stack.front import SERVICES, nginx
from tests.contract.stack.local import own_folder

USER, PASSWORD = "iotistic", "v4Kc8TqWmRz2XbN6"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with own_folder() as folder:
        prepare(folder)
        write_passwords(folder, PASSWORD)
        yield folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Broker]:
    with broker(folder) as running:
        yield running


@pytest.fixture(scope="module")
def front(running: Broker) -> Iterator[int]:
    """The port of the tenant's Nginx; behind it, only the broker is there."""
    with refusing() as nobody:
        ports = dict.fromkeys(SERVICES, nobody) | {"mosquitto": running.websockets}
        with nginx(ports) as front:
            yield front.port


@pytest.fixture(params=["mqtt", "websockets", "front"])
def way(request: pytest.FixtureRequest, running: Broker, front: int) -> tuple[int, str]:
    """Port and transport of each way in."""
    ways = {
        "mqtt": (running.mqtt, "tcp"),
        "websockets": (running.websockets, "websockets"),
        "front": (front, "websockets"),
    }
    return ways[request.param]


def test_a_device_with_the_secret_sends_and_hears(running: Broker, way: tuple[int, str]) -> None:
    port, transport = way
    with (
        device(running.mqtt, USER, PASSWORD) as other,
        device(port, USER, PASSWORD, transport=transport) as one,
    ):
        assert (one.refusal, other.refusal) == ("", "")
        topic = f"there/{port}"
        other.subscribe(topic)
        one.publish(topic, b"21.5")
        assert other.receive() == (topic, b"21.5")
        one.subscribe(f"back/{port}")
        other.publish(f"back/{port}", b"on")
        assert one.receive() == (f"back/{port}", b"on")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        (USER, "v4Kc8TqWmRz2XbN7"),
        (USER, ""),
        (USER, None),
        ("admin", PASSWORD),
        ("", PASSWORD),
        (None, None),
    ],
)
def test_everyone_else_is_refused(
    way: tuple[int, str], user: str | None, password: str | None
) -> None:
    port, transport = way
    with device(port, user, password, transport=transport) as stranger:
        assert stranger.refusal == "Not authorized"


def test_the_password_is_kept_as_a_hash_that_only_the_broker_reads(folder: Path) -> None:
    passwords = folder / "auth/passwords"
    assert passwords.read_text().startswith(f"{USER}:$7$")
    assert PASSWORD not in passwords.read_text()
    assert passwords.stat().st_mode & 0o077 == 0


def test_a_new_password_counts_from_the_next_start() -> None:
    with own_folder() as folder:
        prepare(folder)
        for password in ("first", "second"):
            write_passwords(folder, password)
        with broker(folder) as again:
            with device(again.mqtt, USER, "first") as old:
                assert old.refusal == "Not authorized"
            with device(again.mqtt, USER, "second") as new:
                assert new.refusal == ""


def test_what_is_retained_survives_a_restart() -> None:
    with own_folder() as folder:
        prepare(folder)
        write_passwords(folder, PASSWORD)
        with broker(folder) as before, device(before.mqtt, USER, PASSWORD) as one:
            one.publish("setpoint", b"19", retain=True)
        assert before.child.returncode == 0
        with broker(folder) as after, device(after.mqtt, USER, PASSWORD) as two:
            two.subscribe("setpoint")
            assert two.receive() == ("setpoint", b"19")


def test_a_message_beyond_the_limit_costs_the_connection(running: Broker) -> None:
    with device(running.mqtt, USER, PASSWORD) as one:
        one.client.publish("large", b"x" * 300_000, qos=1)
        assert one.partings.get(timeout=WAIT).is_failure


def test_it_listens_where_it_is_told_to_and_prints_its_log(running: Broker, folder: Path) -> None:
    log = (folder / "log.txt").read_text()
    opened = re.findall(r"Opening .* listen socket on port (\d+)", log)
    assert opened == [str(running.mqtt), str(running.websockets)]
    assert PASSWORD not in log


def test_the_health_of_the_stack_knows_the_broker(folder: Path) -> None:
    others = [name for name in SERVICES if name != "mosquitto"]
    with ExitStack() as stack, broker(folder) as running:
        backends = {name: stack.enter_context(serving(Backend(name))) for name in others}
        ports = {name: backend.port for name, backend in backends.items()}
        front = stack.enter_context(nginx(ports | {"mosquitto": running.websockets}))
        assert front.ask("GET", "/healthz").status == 200
        running.child.send_signal(signal.SIGSTOP)
        stuck = front.ask("GET", "/healthz")
        running.child.send_signal(signal.SIGCONT)
        assert (stuck.status, stuck.json["component"]) == (503, "mosquitto")
        assert front.ask("GET", "/healthz").status == 200
        running.child.terminate()
        running.child.wait(WAIT)
        gone = front.ask("GET", "/healthz")
        assert (gone.status, gone.json["component"]) == (503, "mosquitto")

"""The tenant's real Mosquitto, and real clients."""

from __future__ import annotations

import queue
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.contract.stack.deployment import CONFIG, container, init_container
from tests.contract.stack.local import adapt, run, running, subfolder, translated
from tests.ports import free_port
from tests.programs import require

WAIT = 20  # seconds, for what takes a few milliseconds


@dataclass(frozen=True)
class Broker:
    mqtt: int
    websockets: int
    child: subprocess.Popen[bytes]


def prepare(folder: Path) -> None:
    """What the pod has mounted, and the image brings."""
    for name in ("auth", "config", "data", "log"):
        subfolder(folder, name)


def write_passwords(folder: Path, password: str) -> None:
    """As the manifest's init container does."""
    folders = {"/mosquitto/": f"{folder}/", "mosquitto_passwd": require("mosquitto_passwd")}
    command = translated(init_container("mosquitto")["command"], folders)
    run(command, folder, MQTT_PASSWORD=password)


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """Our configuration and the manifest's command; changed are only ports and folders."""
    program, mqtt, websockets = require("mosquitto"), free_port(), free_port()
    changes = {
        "listener 1883": f"listener {mqtt} 127.0.0.1",
        "listener 9001": f"listener {websockets} 127.0.0.1",
        " /mosquitto/": f" {folder}/",
    }
    adapt(CONFIG / "mosquitto/mosquitto.conf", folder / "config/mosquitto.conf", changes)
    command = translated(container("mosquitto")["command"], {"/mosquitto/": f"{folder}/"})
    with running([program, *command[1:]], folder, websockets) as child:
        yield Broker(mqtt, websockets, child)


@dataclass
class Device:
    """A client. `refusal`: why the broker did not take it, or nothing."""

    client: Client
    messages: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)
    answers: queue.Queue[ReasonCode] = field(default_factory=queue.Queue)
    partings: queue.Queue[ReasonCode] = field(default_factory=queue.Queue)
    refusal: str = ""

    def subscribe(self, topic: str) -> None:
        """Returns when the broker has confirmed it."""
        self.client.subscribe(topic, qos=1)
        self.answers.get(timeout=WAIT)

    def publish(self, topic: str, text: bytes, *, retain: bool = False) -> None:
        """Returns when the broker has confirmed it."""
        self.client.publish(topic, text, qos=1, retain=retain).wait_for_publish(WAIT)

    def receive(self) -> tuple[str, bytes]:
        return self.messages.get(timeout=WAIT)


@contextmanager
def device(
    port: int,
    user: str | None,
    password: str | None,
    *,
    transport: str = "tcp",
    path: str = "/mqtt",
) -> Iterator[Device]:
    """A client that has tried to connect."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        transport="websockets" if transport == "websockets" else "tcp",
        reconnect_on_failure=False,
    )
    one = Device(client)
    client.username_pw_set(user, password)
    client.ws_set_options(path=path)
    _listen(one)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        answer = one.answers.get(timeout=WAIT)
        one.refusal = str(answer) if answer.is_failure else ""
        yield one
    finally:
        client.disconnect()
        client.loop_stop()


def _listen(one: Device) -> None:
    def heard(_: Client, __: object, message: MQTTMessage) -> None:
        one.messages.put((message.topic, bytes(message.payload)))

    def connected(
        _: Client, __: object, ___: object, code: ReasonCode, ____: Properties | None
    ) -> None:
        one.answers.put(code)

    def subscribed(
        _: Client, __: object, ___: int, codes: list[ReasonCode], ____: Properties | None
    ) -> None:
        one.answers.put(codes[0])

    def parted(
        _: Client, __: object, ___: object, code: ReasonCode, ____: Properties | None
    ) -> None:
        one.partings.put(code)

    one.client.on_message = heard
    one.client.on_connect = connected
    one.client.on_subscribe = subscribed
    one.client.on_disconnect = parted

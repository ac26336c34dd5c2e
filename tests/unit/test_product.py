"""The product file: what it says, and what is said about mistakes in it."""

from __future__ import annotations

import pytest

from tenantry import assets
from tenantry.core.errors import ProductError
from tenantry.core.product import Product
from tenantry.core.product_file import load_product
from tenantry.core.secret import Rotation, Source
from tenantry.core.templates import evaluate

FILE = "product.yaml"


@pytest.fixture(scope="module")
def text() -> str:
    return (assets.path("tenant_templates") / FILE).read_text("utf-8")


@pytest.fixture(scope="module")
def product(text: str) -> Product:
    return load_product(text, FILE)


def test_sample_has_the_secret_keys_of_the_specification(product: Product) -> None:
    found = {
        name: (key.source, key.length, key.rotation) for name, key in product.secret.keys.items()
    }
    random = Source.RANDOM
    assert found == {
        "IOTISTIC_LICENSE_KEY": (Source.LICENSE, None, None),
        "LICENSE_PUBLIC_KEY": (Source.PUBLIC_KEYS, None, None),
        "LICENSE_REVOCATIONS": (Source.REVOCATIONS, None, None),
        "POSTGRES_PASSWORD": (random, 24, Rotation.NEVER),
        "INFLUXDB_PASSWORD": (random, 24, Rotation.NEVER),
        "MQTT_PASSWORD": (random, 24, Rotation.RESTART),
        "JWT_SECRET": (random, 32, Rotation.RESTART),
        "DEVICE_API_KEY": (random, 32, Rotation.RESTART),
        "CUSTOMER_ID": (Source.CUSTOMER_ID, None, None),
        "ADMIN_PASSWORD": (random, 24, Rotation.NEVER),  # R28
    }


def test_sample_trial_is_fourteen_days_of_starter_with_three_days_of_grace(
    product: Product,
) -> None:
    assert (product.trial.plan, product.trial.days, product.trial.grace_days) == ("starter", 14, 3)
    assert list(product.plans) == ["starter", "professional", "enterprise"]


def test_sample_reminds_on_the_days_of_the_specification(product: Product) -> None:
    assert product.trial.reminders == (7, 12, 14)


def test_what_is_optional_may_be_left_out(text: str) -> None:
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("bootstrap:", "  read_only:", "  reminders:"))
    ]
    product = load_product("\n".join(lines), FILE)
    assert (product.bootstrap, product.pull_secret, product.ingress.read_only) == (None,) * 3
    assert product.trial.reminders == ()


@pytest.mark.parametrize(
    "image",
    [
        "web:1", "team/web:1.2", "registry.example/team/web:v1", "registry.example:5000/web:1.0",
        f"web@sha256:{'0' * 64}", f"registry.example:5000/team/web:1@sha256:{'a' * 64}",
    ],
)  # fmt: skip
def test_an_image_of_one_version_is_taken(text: str, image: str) -> None:
    assert load_product(text.replace("postgres:17.6-alpine", image), FILE).images["postgres"]


def test_sample_claims_are_what_the_specifications_product_reads(product: Product) -> None:
    context = {"limits": {"max_devices": 10}, "exp": 1795000000}
    assert evaluate(product.license.claims, context, file=FILE) == {
        "features": {"maxDevices": 10},
        "expiresAt": 1795000000,
    }


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  days: 14\n", "", ["trial.days: Field required", "add this key"]),
        ("days: 14", "days: 0", ["trial.days", "greater than or equal to 1"]),
        ("warn_days", "warndays", ["trial.warndays", "did you mean 'warn_days'?"]),
        ("title: Iotistic", "colour: red", ["colour", "known here: name, title"]),
        ("source: license", "source: theirs", ["IOTISTIC_LICENSE_KEY.source", "'license'"]),
        ("length: 24, ", "", ["POSTGRES_PASSWORD", "needs length and rotation"]),
        ("{source: license}", "{source: license, length: 20}", ["belong to random values only"]),
        ("{{ exp }}", "{{ exp ", ["'{{ exp ' is broken"]),
        ("{{ exp }}", "{% if exp %}1{% endif %}", ["statements", "not allowed"]),
        ("path: /api", "path: api", ["ingress.routes[0].path", "should match pattern"]),
        ("path: /api", "path: /", ["ingress", "two routes have the same path"]),
        ("postgres-data: 20Gi", "data: 20Gi", ["every plan must name the same volumes"]),
        ("postgres-data: 20Gi", "postgres-data: 20GB", ["plans.professional.volumes.postgres"]),
        ("postgres:17.6-alpine", "postgres", ["images.postgres", "a tag that is not latest"]),
        ("postgres:17.6-alpine", "postgres:latest", ["images.postgres", "or a digest"]),
        ("postgres:17.6-alpine", "postgres:latest@sha256:12", ["is no image reference"]),
        ("postgres:17.6-alpine", "Postgres:17", ["is no image reference"]),
        ("grafana/grafana:12.1.1", "nginx:1.28.0", ["images: ", "the short name of another"]),
        ("postgres: postgres:17.6-alpine", "Postgres: postgres:17", ["images.Postgres", "pattern"]),
        ("[7, 12, 14]", "[7, 12, 15]", ["trial.reminders", "1 to 14"]),
        ("[7, 12, 14]", "[0, 12]", ["trial.reminders", "1 to 14"]),
        ("[7, 12, 14]", "[12, 7]", ["trial.reminders", "in order"]),
        ("[7, 12, 14]", "[7, 7]", ["trial.reminders", "each once"]),
        ("secret: ADMIN_PASSWORD", "secret: ADMIN", ["bootstrap", "'ADMIN' is no random key"]),
        ("secret: ADMIN_PASSWORD", "secret: CUSTOMER_ID", ["bootstrap", "is no random key"]),
        ("path: /login", "pth: /login", ["bootstrap.pth", "did you mean 'path'?"]),
        ("support:", "pull_secret: iotistic-secrets\nsupport:", ["pull_secret", "choose another"]),
        ("read_only: nginx", "read_only: Nginx", ["ingress.read_only", "pattern"]),
        ("[/healthz, /]", "[]", ["ready.paths", "at least 1"]),
        ("[/healthz, /]", "[/a//b]", ["ready.paths[0]", "pattern"]),
        ("path: /login", "path: //other.example", ["bootstrap.path", "pattern"]),
        ("path: /api", "path: /a/../b", ["ingress.routes[0].path", "pattern"]),
        ("path: /api", "path: /a/.", ["ingress.routes[0].path", "pattern"]),
        ("path: /api", "path: /grafana/", ["ingress", "two routes have the same path"]),
        ("    POSTGRES_PASSWORD:", "    ..data:", ["secret.keys...data", "pattern"]),
        ("days: 14", "days: true", ["trial.days", "valid integer"]),
        ("[7, 12, 14]", "[true]", ["trial.reminders[0]", "valid integer"]),
        ("max_devices: 100}", 'max_devices: "100"}', ["limits.max_devices", "valid integer"]),
        ("max_devices: 100}", f"max_devices: {2**53}}}", ["limits.max_devices", "less than"]),
        ("title: Iotistic", r'title: "I\r\nBcc: x"', ["title", "one line"]),
        ("title: Iotistic", r'title: "\u202eI"', ["title", "one line"]),
        ("title: Iotistic", f"title: {'I' * 201}", ["title", "at most 200"]),
        ("[/healthz, /]", "[/, /]", ["ready.paths", "names a path twice"]),
        ("[/healthz, /]", "[/]\n  license: {path: /x}", ["ready.license.field", "required"]),
        ("[/healthz, /]", "[/]\n  license: {path: x, field: id}", ["license.path", "pattern"]),
        ("[/healthz, /]", "[/]\n  license: {path: /, field: a..b}", ["license.field", "pattern"]),
        ("plan: starter", "plan: gold", ["'gold' is none of the plans"]),
        ("max_devices: 100}", "max_devices: many}", ["plans.professional.limits.max_devices"]),
        ("name: iotistic-secrets", "name: Iotistic-secrets", ["secret.name", "pattern"]),
        ("trial:", "name: again\ntrial:", ["key 'name' appears twice", "keep one"]),
        ("trial:", "trial: [", ["is not YAML"]),
        ("title: Iotistic", "title: !secret x", ["tags (!name) are not used here"]),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, old: str, new: str, says: list[str]) -> None:
    assert old in text
    with pytest.raises(ProductError) as caught:
        load_product(text.replace(old, new, 1), FILE)
    assert all(part in str(caught.value) for part in says), str(caught.value)
    assert caught.value.line is not None
    assert caught.value.hint


def test_the_only_route_is_what_is_wrong_and_not_that_there_is_none(text: str) -> None:
    head, _, tail = text.partition("  routes:\n")
    _, _, rest = tail.partition("\nready:")
    broken = f"{head}  routes:\n    - {{path: api, service: api, port: 80}}\nready:{rest}"
    with pytest.raises(ProductError, match=r"ingress\.routes\[0\]\.path"):
        load_product(broken, FILE)


def test_a_path_that_no_route_leads_to_could_never_be_ready(text: str) -> None:
    without_root = "\n".join(line for line in text.splitlines() if "path: /," not in line)
    with pytest.raises(ProductError, match="no route leads to /, so it would never answer"):
        load_product(without_root, FILE)
    reported = without_root.replace("[/healthz, /]", "[/api]\n  license: {path: /x, field: id}")
    with pytest.raises(ProductError, match="no route leads to /x, so it would never answer"):
        load_product(reported, FILE)
    below = text.replace("[/healthz, /]", "[/healthz/deep, /grafana]")
    assert load_product(below, FILE).ready.paths == ("/healthz/deep", "/grafana")


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ("'{{ limits.nothing }}'", "has no attribute 'nothing'"),
        ("'{{ limits.__class__ }}'", "__class__"),
        (".inf", "what JSON cannot"),
    ],
)
def test_claims_that_no_license_could_have_are_told_at_start(
    text: str, claim: str, says: str
) -> None:
    with pytest.raises(ProductError, match=says):
        load_product(text.replace('"{{ exp }}"', claim), FILE)


def test_a_feature_that_no_license_could_hold_is_told_at_start(text: str) -> None:
    assert "features: {" in text
    with pytest.raises(ProductError, match="what JSON cannot"):
        load_product(text.replace("features: {", "features: {odd: .nan, ", 1), FILE)


def test_the_line_is_the_one_of_the_mistake(text: str) -> None:
    for old, new in (
        ("  grace_days: 3", "  grace_days: -3"),
        ("  postgres: postgres:17.6-alpine", "  postgres: postgres"),
        ("  paths: [/healthz, /]", "  paths: [/, /]"),
        ("trial:\n  plan: starter", "trial:\n  plan: gold"),
    ):
        broken = text.replace(old, new)
        with pytest.raises(ProductError) as caught:
            load_product(broken, FILE)
        assert broken.splitlines()[(caught.value.line or 0) - 1] == new.splitlines()[0]


@pytest.mark.parametrize("text", ["", "- a", "text", "a: 1\n---\nb: 2", "a: \x01", "a: \ud83d"])
def test_what_is_no_product_is_refused(text: str) -> None:
    with pytest.raises(ProductError):
        load_product(text, FILE)


def test_secrets_version_changes_with_what_restarts_pods_and_with_nothing_else(
    product: Product,
) -> None:
    versions = dict.fromkeys(product.secret.keys, "1")
    before = product.secret.version(versions)
    changed = {
        name for name in versions if product.secret.version({**versions, name: "2"}) != before
    }
    assert changed == {"LICENSE_PUBLIC_KEY", "MQTT_PASSWORD", "JWT_SECRET", "DEVICE_API_KEY"}

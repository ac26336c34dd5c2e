"""The platform folder: made complete with the product's images, or refused at start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenantry.adapters.product_folder import read_files
from tenantry.core.document import load
from tenantry.core.errors import ProductError
from tenantry.core.model import State
from tenantry.core.platform import complete
from tenantry.core.product import Product
from tenantry.core.product_file import load_product
from tests import overlays

DIGEST = f"sha256:{'0' * 64}"
PRODUCT = f"""
name: acme
title: Acme
environment: production
platform: v1
estimated_time: 2-3 minutes
images:
  web: registry.example:5000/acme/web:1.2
  db: postgres:17@{DIGEST}
trial: {{plan: small, days: 14, warn_days: 7, grace_days: 3}}
plans:
  small: {{title: Small, features: {{}}, limits: {{}}, volumes: {{data: 1Gi}}}}
secret: {{name: acme-secrets, keys: {{LICENSE: {{source: license}}}}}}
license: {{issuer: acme, claims: {{}}}}
ingress: {{routes: [{{path: /, service: web, port: 80}}]}}
ready: {{paths: [/]}}
"""
BASE = """# the product
resources:
  - web.yaml
  - db.yaml
"""
WEB = """kind: Deployment
spec: {template: {spec: {containers: [{name: web, image: web}]}}}
---
kind: CronJob
spec:
  jobTemplate: {spec: {template: {spec: {
    initContainers: [
      {name: wait, image: db}],
    containers: [{name: web, image: web}]}}}}
"""
DB = "kind: StatefulSet\nspec: {template: {spec: {containers: [{name: db, image: db}]}}}\n"
COMPONENT = "kind: Component\n"


def product() -> Product:
    return load_product(PRODUCT, "product.yaml")


def platform(**changes: str) -> dict[str, bytes]:
    """A platform; `changes` are texts by path, with `/` as `__` and no ending."""
    texts = {
        "base/kustomization.yaml": BASE,
        "base/web.yaml": WEB,
        "base/db.yaml": DB,
        "plans/small/kustomization.yaml": COMPONENT,
        **{f"states/{state.value}/kustomization.yaml": COMPONENT for state in State},
        **{f"{path.replace('__', '/')}.yaml": text for path, text in changes.items()},
    }
    return {path: text.encode() for path, text in texts.items()}


def completed(**changes: str) -> dict[str, bytes]:
    return complete(platform(**changes), product(), folder="platform/v1")


def test_images_are_put_into_the_kustomization_and_all_else_keeps_its_bytes() -> None:
    given, found = platform(), completed()
    assert list(found) == list(given)
    assert {path for path in given if found[path] != given[path]} == {"base/kustomization.yaml"}
    kustomization = found["base/kustomization.yaml"]
    assert kustomization.startswith(BASE.encode())
    assert load(kustomization, "f")["images"] == [
        {"name": "web", "newName": "registry.example:5000/acme/web", "newTag": "1.2"},
        {"name": "db", "newName": "postgres", "newTag": "17", "digest": DIGEST},
    ]


@pytest.mark.parametrize(
    "patch",
    [
        "spec: {template: {spec: {initContainers: [{name: x, image: db}]}}}",
        "- {op: replace, path: /spec/template/spec/containers/0/image, value: db}",
        "- {op: add, path: /spec/template/spec/containers/-, value: {name: x, image: db}}",
    ],
)
def test_a_component_that_brings_an_image_gets_its_version_too(patch: str) -> None:
    inline = f"kind: Component\npatches:\n  - target: {{kind: Job}}\n    patch: |\n      {patch}\n"
    found = completed(plans__small__kustomization=inline)
    images = load(found["plans/small/kustomization.yaml"], "f")["images"]
    assert [image["name"] for image in images] == ["db"]
    beside = completed(
        plans__small__kustomization="patches: [{path: more.yaml}]\n", plans__small__more=patch
    )
    assert b"postgres" in beside["plans/small/kustomization.yaml"]


@pytest.mark.parametrize(
    ("changes", "file", "line", "says"),
    [
        ({"base__web": WEB.replace("image: db", "image: postgres:17")}, "base/web.yaml", 8,
         "the image 'postgres:17' is none of the product's"),
        ({"states__active__kustomization":
          "kind: Component\npatches:\n  - patch: |\n      kind: x\n      image: other\n"},
         "states/active/kustomization.yaml", 5, "the image 'other'"),
        ({"base__kustomization": BASE + "images: [{name: web, newTag: '2'}]\n"},
         "base/kustomization.yaml", 5, "has images of its own"),
        ({"states__active__kustomization": "kind: Component\nimages: [{name: a, newTag: '2'}]\n"},
         "states/active/kustomization.yaml", 2, "has images of its own"),
        ({"base__kustomization": "kind: Kustomization\nresources: web.yaml\n"},
         "base/kustomization.yaml", 2, "resources is no list"),
        ({"base__kustomization": "{resources: [web.yaml, db.yaml]}\n"},
         "base/kustomization.yaml", None, "write a key a line"),
        ({"base__kustomization": "- a\n"}, "base/kustomization.yaml", None, "is no kustomization"),
        ({"base__web": "kind: ["}, "base/web.yaml", 2, "is not YAML"),
        ({"base__web": WEB + "metadata: {namespace: prod}\n"},
         "base/web.yaml", 10, "names the namespace 'prod'"),
        ({"base__web": "kind: x\nmetadata: {name: {{ .Release.Name }}}\n"}, "base/web.yaml", 2,
         "a template, such as Helm's, is rendered before"),
        ({"base__web": "kind: x\n<<: {a: b}\n"}, "base/web.yaml", 2, "write out what it merges"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(
    changes: dict[str, str], file: str, line: int | None, says: str
) -> None:
    with pytest.raises(ProductError) as caught:
        completed(**changes)
    assert says in str(caught.value)
    assert (caught.value.file, caught.value.line) == (f"platform/v1/{file}", line)
    assert caught.value.hint


@pytest.mark.parametrize(
    "path", ["base/.DS_Store", "base/a b.txt", "base/a\nb.txt", "base/\udcff", "base/web.yaml~"]
)
def test_what_nobody_meant_to_publish_is_refused(path: str) -> None:
    with pytest.raises(ProductError, match="does not belong here"):
        complete({**platform(), path: b""}, product(), folder="platform/v1")


@pytest.mark.parametrize("name", ["kustomization.yml", "Kustomization"])
def test_a_kustomization_has_one_name(name: str) -> None:
    with pytest.raises(ProductError, match=rf"db/{name}: has another name \(call it kustomization"):
        complete({**platform(), f"base/db/{name}": b""}, product(), folder="platform/v1")


def test_a_file_that_no_config_map_could_hold_is_refused() -> None:
    files = {**platform(), "base/large.bin": b"x" * 1024 * 1024}
    with pytest.raises(ProductError, match=r"base/large\.bin: has 1048576 bytes"):
        complete(files, product(), folder="platform/v1")


def test_a_link_in_the_folder_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("a: 1")
    assert read_files(tmp_path) == {"file.yaml": b"a: 1"}
    for target in ("file.yaml", "/etc", "nowhere", "."):
        (tmp_path / "link").symlink_to(target)
        with pytest.raises(ProductError, match="link: is a link"):
            read_files(tmp_path)
        (tmp_path / "link").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ProductError, match="pipe: is a link or no ordinary file"):
        read_files(tmp_path)


def test_an_image_that_nothing_uses_is_told() -> None:
    with pytest.raises(ProductError, match=r"product\.yaml: images: no manifest .* uses db"):
        completed(base__kustomization="resources: [web.yaml]\n", base__web="kind: x\nimage: web\n")


@pytest.mark.parametrize(
    "place",
    ["base", "plans/small", *(f"states/{state.value}" for state in State)],
)
def test_each_plan_and_state_needs_its_component(place: str) -> None:
    files = platform()
    del files[f"{place}/kustomization.yaml"]
    with pytest.raises(ProductError, match=f"v1/{place}/kustomization.yaml: is missing"):
        complete(files, product(), folder="platform/v1")


def test_the_sample_names_all_its_images_in_its_base() -> None:
    base = load(overlays.vendor().platform["base/kustomization.yaml"], "f")
    assert [image["name"] for image in base["images"]] == list(overlays.product().images)

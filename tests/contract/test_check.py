"""R27 with the real Kustomize: what the publisher asks, and `tenantry check`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.product_folder import read_product_folder
from tenantry.cli.check import check
from tenantry.core import naming
from tenantry.core.document import load
from tenantry.core.errors import (
    NotFound,
    OverlayRefused,
    ProductError,
    ProgramMissing,
    ProgramStopped,
)
from tenantry.core.model import State, TenantSpec
from tenantry.core.printer import dump
from tenantry.flows.check_repository import Report, check_repository
from tenantry.flows.class_check import ClassChecker
from tests.overlays import product, rendered, spec, vendor, write_repository
from tests.programs import require

FIRST, SECOND = spec(), spec("zzzzzzzzzz")
LOCAL = {
    "kustomization.yaml": dump(
        {
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "resources": ["more.yaml"],
        }
    ),
    "more.yaml": dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}}),
}


class Counting:
    """Kustomize that counts its builds."""

    def __init__(self, real: Kustomize) -> None:
        self.real, self.builds = real, 0

    def build(self, folder: Path, *, root: Path | None = None) -> list[dict[str, Any]]:
        self.builds += 1
        return self.real.build(folder, root=root)


@pytest.fixture
def kustomize() -> Counting:
    return Counting(Kustomize(require("kustomize")))


@pytest.fixture
def checker(kustomize: Counting) -> ClassChecker:
    return ClassChecker(kustomize, product(), vendor().templates, sample_every=3)  # type: ignore[arg-type]


def _verify(checker: ClassChecker, tenant: TenantSpec, **changes: Any) -> None:
    files = {**rendered(tenant, seed=tenant.name), **changes.pop("files", {})}
    checker.verify(tenant, files, **{"platform": vendor().platform, **changes})


def test_a_class_is_built_once_and_a_sample_again(
    checker: ClassChecker, kustomize: Counting
) -> None:
    builds = []
    for tenant in (FIRST, SECOND, FIRST, SECOND, FIRST, SECOND):
        _verify(checker, tenant)
        builds.append(kustomize.builds)
    assert builds == [1, 1, 1, 2, 2, 2]


def test_every_class_is_built(checker: ClassChecker, kustomize: Counting) -> None:
    _verify(checker, FIRST)
    _verify(checker, spec(plan="enterprise"))
    _verify(checker, spec(state=State.SUSPENDED))
    other = {**vendor().platform, "more.txt": b""}
    _verify(checker, FIRST, platform=other)
    assert kustomize.builds == 4


def test_a_tenant_that_is_not_like_its_class_is_refused(checker: ClassChecker) -> None:
    _verify(checker, FIRST)
    with pytest.raises(OverlayRefused, match=r"namespace\.yaml"):
        _verify(checker, SECOND, files={"namespace.yaml": rendered(FIRST)["namespace.yaml"]})


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("kustomization.yaml", "../../../platform/v1/base", "https://example.com/b", "relative"),
        ("kustomization.yaml", "../../../platform/v1/base", "../../../argocd", "leads out"),
        ("kustomization.yaml", "reads-license=true", "reads-nothing=true", "license-version"),
        ("namespace.yaml", "Prune=false,Delete=false", "", "must say"),
        ("ingress.yaml", "cust-bcdfghjkmn.example.com", "example.com", "answers for the host"),
        ("sealed-secret.yaml", "iotistic-secrets", "their-secrets", "iotistic-secrets: is missing"),
    ],
)
def test_a_first_tenant_that_is_bad_is_refused_and_is_no_example(
    checker: ClassChecker, name: str, old: str, new: str, says: str
) -> None:
    text = rendered(FIRST)[name].decode()
    assert old in text
    for _ in range(2):
        with pytest.raises(OverlayRefused, match=says):
            _verify(checker, FIRST, files={name: text.replace(old, new).encode()})
    _verify(checker, FIRST)


def test_a_tenant_with_changes_of_its_own_is_always_built(
    checker: ClassChecker, kustomize: Counting
) -> None:
    files = rendered(FIRST, has_local=True)
    for _ in range(2):
        checker.verify(FIRST, files, platform=vendor().platform, local=LOCAL)
    assert kustomize.builds == 2
    plain = {**LOCAL, "more.yaml": LOCAL["more.yaml"].replace(b"ConfigMap", b"Secret")}
    with pytest.raises(OverlayRefused, match="plain Secret"):
        checker.verify(FIRST, files, platform=vendor().platform, local=plain)


def test_a_build_that_fails_is_a_problem_of_the_overlay(checker: ClassChecker) -> None:
    platform = {**vendor().platform, "base/api.yaml": b"kind: ["}
    with pytest.raises(OverlayRefused, match="kustomize: ") as caught:
        _verify(checker, FIRST, platform=platform)
    assert "/tmp" not in str(caught.value)  # noqa: S108 - it is what must not be there


@pytest.mark.parametrize(
    ("does", "says"), [("exec sleep 100", "did not end within"), ("kill -9 $$", "by signal 9")]
)
def test_a_build_that_was_stopped_is_no_problem_of_the_overlay(
    tmp_path: Path, does: str, says: str
) -> None:
    stopped = tmp_path / "kustomize"
    stopped.write_text(f"#!/bin/sh\n{does}\n")
    stopped.chmod(0o755)
    checker = ClassChecker(Kustomize(str(stopped), deadline=0.5), product(), vendor().templates)
    with pytest.raises(ProgramStopped, match=says):
        _verify(checker, FIRST)


@pytest.mark.parametrize("path", ["../../../../more.yaml", "a/./more.yaml", "a//more.yaml"])
def test_a_path_that_leads_out_of_its_folder_is_refused_and_never_written(
    checker: ClassChecker, kustomize: Counting, path: str
) -> None:
    """Git's trees may hold such names, though no checkout does."""
    with pytest.raises(OverlayRefused, match="no path that a checkout can have"):
        _verify(
            checker,
            FIRST,
            files=rendered(FIRST, has_local=True),
            local={**LOCAL, path: LOCAL["more.yaml"]},
        )
    assert kustomize.builds == 0


def test_a_missing_program_is_no_problem_of_the_overlay(tmp_path: Path) -> None:
    gone = Kustomize(str(tmp_path / "kustomize"))
    with pytest.raises(ProgramMissing):
        _verify(ClassChecker(gone, product(), vendor().templates), FIRST)


# A checked-out repository


def _check(root: Path, kustomize: Counting) -> Report:
    return check_repository(
        root,
        product=product(),
        templates=vendor().templates,
        kustomize=kustomize,  # type: ignore[arg-type]
        schemas=None,
    )


def test_a_good_repository_has_no_problem(tmp_path: Path, kustomize: Counting) -> None:
    tenants = [FIRST, SECOND, spec("gggggggggg", plan="enterprise", state=State.SUSPENDED)]
    report = _check(write_repository(tmp_path, *tenants), kustomize)
    assert (report.tenants, report.classes, report.builds) == (3, 2, 2)
    assert report.problems == []
    assert report.schemas.startswith("not checked: ")


def test_an_old_platform_that_nobody_runs_is_fine(tmp_path: Path, kustomize: Counting) -> None:
    root = write_repository(tmp_path, FIRST)
    (root / "platform/v0").mkdir()
    (root / "platform/v0/kustomization.yaml").write_text("helmCharts: []")
    assert _check(root, kustomize).problems == []


def test_a_tenant_by_older_templates_is_built_in_full(tmp_path: Path, kustomize: Counting) -> None:
    root = write_repository(tmp_path, FIRST, SECOND)
    place = root / naming.folder(SECOND.name) / "ingress.yaml"
    place.write_bytes(place.read_bytes().replace(b"letsencrypt-prod", b"letsencrypt-old"))
    report = _check(root, kustomize)
    assert (report.builds, report.problems) == (2, [])


def _edit(name: str, old: str, new: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text("utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), "utf-8")

    return change


def _add_local_record(folder: Path) -> None:
    (folder / "local").mkdir()
    shutil.copy(folder / "tenant.json", folder / "local")


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "record that is no JSON": (lambda f: (f / "tenant.json").write_text("{"), "Invalid JSON"),
    "record with a field more": (_edit("tenant.json", "{", '{"a": 1,'), "a: Extra inputs"),
    "record with escapes": (
        _edit("tenant.json", "Test Corp", "\\ud83d\\ude00"), "as Tenantry writes it"
    ),
    "record with a line separator": (_edit("tenant.json", "Test Corp", "a\u2028b"), "U+2028"),
    "record of another tenant": (
        _edit("tenant.json", "zzzzzzzzzz", "gggggggggg"), "which belongs to tenants/"
    ),
    "record missing": (lambda f: (f / "tenant.json").unlink(), "tenant.json: is missing"),
    "wrong shard": (lambda f: f.rename(f.parent.parent / "00" / f.name), "which belongs to"),
    "foreign namespace": (_edit("kustomization.yaml", SECOND.name, FIRST.name), "is in namespace"),
    "foreign host": (_edit("ingress.yaml", SECOND.host, FIRST.host), "answers for the host"),
    "plain secret": (
        lambda f: (f / "sealed-secret.yaml").write_bytes(
            dump({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "iotistic-secrets"}})
        ),
        "plain Secret",
    ),
    "remote base": (
        _edit("kustomization.yaml", "namespace.yaml", "https://example.com/x"),
        "not a plain relative path",
    ),
    "unknown platform": (
        lambda f: [
            _edit(name, "v1", "v9")(f) for name in ("tenant.json", "kustomization.yaml")
        ],
        "is not there",
    ),
    "unknown file": (lambda f: (f / "notes.txt").write_text(""), "does not belong here"),
    "record in local": (_add_local_record, "would be one more Application"),
    "link": (lambda f: (f / "local").symlink_to("/etc"), "is a link"),
    "file among shards": (lambda f: (f.parent.parent / "notes").touch(), "does not belong here"),
    "file among tenants": (lambda f: (f.parent / "notes").touch(), "is no tenant's folder"),
    "does not build": (_edit("ingress.yaml", "kind: ", "king: "), "kustomize: "),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_found(tmp_path: Path, kustomize: Counting, name: str) -> None:
    change, says = BAD[name]
    root = write_repository(tmp_path, FIRST, SECOND)
    (root / "tenants/00").mkdir()
    change(root / naming.folder(SECOND.name))
    report = _check(root, kustomize)
    assert any(says in str(problem) for problem in report.problems), report.problems
    assert report.tenants == 2


def test_a_platform_in_use_is_looked_at(tmp_path: Path, kustomize: Counting) -> None:
    root = write_repository(tmp_path, FIRST)
    place = root / "platform/v1/base/kustomization.yaml"
    tree = load(place.read_bytes(), "f")
    place.write_bytes(dump({**tree, "resources": [*tree["resources"], "https://example.com/x"]}))
    assert "https://example.com/x" in str(_check(root, kustomize).problems[0])


def test_a_folder_that_is_no_repository_is_told(tmp_path: Path, kustomize: Counting) -> None:
    with pytest.raises(NotFound, match="no tenants repository"):
        _check(tmp_path, kustomize)


# The command


def _run(*arguments: str) -> Result:
    require("kustomize")
    return CliRunner().invoke(check, list(arguments))


def test_the_command_counts_and_ends_with_0(tmp_path: Path) -> None:
    root = write_repository(tmp_path, FIRST, SECOND)
    result = _run(str(root))
    assert (result.exit_code, result.output.count("\n")) == (0, 1)
    assert result.output.startswith("2 tenants in 1 classes, 1 built: nothing wrong; schemas: Kub")
    assert json.loads(_run(str(root), "--json").output)["problems"] == []


def test_the_command_tells_each_problem_and_ends_with_1(tmp_path: Path) -> None:
    root = write_repository(tmp_path, FIRST, SECOND)
    _edit("ingress.yaml", "3001", "3002")(root / naming.folder(SECOND.name))
    result = _run(str(root))
    assert result.exit_code == 1
    assert (
        f"{naming.folder(SECOND.name)}: Ingress/iotistic-ingress: leads to 'api'" in result.output
    )
    found = json.loads(_run(str(root), "--json").output)["problems"][0]
    assert set(found) == {"where", "message", "hint"}


def test_schemas_are_checked(tmp_path: Path) -> None:
    root = write_repository(tmp_path, FIRST)
    _edit("ingress.yaml", "ingressClassName", "ingressClass")(root / naming.folder(FIRST.name))
    result = _run(str(root))
    assert "schema: " in result.output
    assert "'ingressClass' was unexpected" in result.output


def test_a_product_folder_that_is_not_complete_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"product\.yaml: cannot be read"):
        read_product_folder(tmp_path)

"""Files of an overlay: nothing from elsewhere, nothing unknown (R27)."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.core.document import load
from tenantry.core.naming import folder
from tenantry.core.printer import dump
from tenantry.core.sources import check_platform, check_sources
from tests.overlays import rendered, spec, vendor

FOLDER = folder(spec().name)
PLATFORM = {f"platform/v1/{path}": data for path, data in vendor().platform.items()}
COMPONENT = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}


def problems(files: dict[str, bytes]) -> list[str]:
    found = check_sources(
        files,
        folder=FOLDER,
        platform="platform/v1",
        own=vendor().templates.files,
        platform_files=PLATFORM,
    )
    return [str(problem) for problem in found]


def _with(**fields: Any) -> dict[str, bytes]:
    """The tenant's files with these fields in its kustomization."""
    files = rendered(spec())
    tree = {**load(files["kustomization.yaml"], "f"), **fields}
    return {**files, "kustomization.yaml": dump(tree)}


def _with_local(**fields: Any) -> dict[str, bytes]:
    files = rendered(spec(), has_local=True)
    return {
        **files,
        "local/kustomization.yaml": dump({**COMPONENT, **fields}),
        "local/patch.yaml": b"a: 1\n",
    }


def test_what_is_rendered_is_good() -> None:
    assert problems(rendered(spec())) == []


def test_the_platform_that_ships_is_good() -> None:
    assert check_platform(PLATFORM, folder="platform/v1") == []


REMOTE = [
    "https://example.com/base", "http://example.com/base.yaml", "git@example.com:a/b.git",
    "ssh://git@example.com/a/b", "github.com/example/base?ref=v1", "file:///etc", "s3::x",
    "git::https://example.com/a", "/etc/passwd", "../../..", "../../../..", "../../zz/other",
    "../../../platform/v2/base", "../../../platform/v10/base", "../../../argocd", "missing.yaml",
    "..\\..", "", ".", "../customer-zzzzzzzzzz", "../../../platform/v1/../../argocd",
]  # fmt: skip


@pytest.mark.parametrize("path", [path for path in REMOTE if path != "."])
@pytest.mark.parametrize("field", ["resources", "components"])
def test_a_tenant_brings_nothing_from_elsewhere(field: str, path: str) -> None:
    assert any(repr(path) in problem for problem in problems(_with(**{field: [path]})))


def test_a_platform_version_is_not_the_one_whose_name_it_begins() -> None:
    path = "../../../platform/v10/base"
    found = check_sources(
        _with(resources=[path]),
        folder=FOLDER,
        platform="platform/v1",
        own=vendor().templates.files,
        platform_files={**PLATFORM, "platform/v10/base/kustomization.yaml": b""},
    )
    assert [problem.message for problem in found] == [f"{path!r} leads out of its own folder"]


@pytest.mark.parametrize("name", ["local/tenant.json", "local/a/b/tenant.json"])
def test_a_second_record_is_refused(name: str) -> None:
    """The star of an ApplicationSet's path stands for any number of folders."""
    (found,) = problems({**_with_local(), name: b"{}"})
    assert found.startswith(f"{FOLDER}/{name}: would be one more Application")
    for other in ("local/my-tenant.json", "local/tenant.json.md", "local/tenant.yaml"):
        assert problems({**_with_local(), other: b"{}"}) == []


@pytest.mark.parametrize("entry", [5, None, {"a": "b"}])
def test_an_entry_that_is_no_path_is_refused(entry: Any) -> None:
    assert any("is not a plain relative path" in p for p in problems(_with(resources=[entry])))


@pytest.mark.parametrize(
    "fields",
    [
        {"helmCharts": []}, {"generators": []}, {"transformers": []}, {"validators": []},
        {"openapi": {}}, {"crds": []}, {"bases": []}, {"secretGenerator": []},
        {"patchesJson6902": []}, {"configurations": []}, {"namePrefix": "x"}, {"vars": []},
        {"buildMetadata": []},
    ],
)  # fmt: skip
def test_fields_that_could_bring_or_hide_things_are_refused(fields: dict[str, Any]) -> None:
    (name,) = fields
    assert any(f"the field '{name}' is not allowed" in p for p in problems(_with(**fields)))
    assert any(f"the field '{name}' is not allowed" in p for p in problems(_with_local(**fields)))


@pytest.mark.parametrize("path", ["github.com/a/b", "https:/example.com/x", "a/b.git", "x/_git/y"])
def test_a_folder_that_is_named_like_a_remote_is_one(path: str) -> None:
    """Kustomize would fetch it although it is there."""
    files = _with_local(resources=[path])
    files[f"local/{path}/kustomization.yaml"] = dump(COMPONENT)
    assert any("is not a plain relative path" in problem for problem in problems(files))


def test_local_changes_may_patch_and_add() -> None:
    files = _with_local(
        patches=[{"path": "patch.yaml"}, {"patch": "a: 1"}],
        resources=["extra"],
        configMapGenerator=[{"name": "x", "files": ["named=patch.yaml"], "literals": ["a=b"]}],
    )
    files["local/extra/kustomization.yaml"] = dump({**COMPONENT, "resources": ["../patch.yaml"]})
    assert problems(files) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"resources": ["../namespace.yaml"]},
        {"resources": ["../../../../platform/v1/base"]},
        {"resources": ["https://example.com"]},
        {"patches": [{"path": "../../../../argocd/appproject.yaml"}]},
        {"replacements": [{"path": "/etc/x"}]},
        {"configMapGenerator": [{"files": ["x=../sealed-secret.yaml"]}]},
        {"configMapGenerator": [{"envs": ["../tenant.json"]}]},
        {"configMapGenerator": [{"env": "missing.env"}]},
    ],
)
def test_local_changes_stay_in_their_folder(fields: dict[str, Any]) -> None:
    assert problems(_with_local(**fields))


@pytest.mark.parametrize("name", ["local/deep/kustomization.yml", "local/x/Kustomization"])
def test_every_kustomization_below_local_is_looked_at(name: str) -> None:
    files = {**_with_local(), name: dump({**COMPONENT, "helmCharts": []})}
    assert any("helmCharts" in problem for problem in problems(files))


@pytest.mark.parametrize("name", ["extra.yaml", "kustomization.yml", ".gitattributes", "a/b.yaml"])
def test_unknown_files_are_refused(name: str) -> None:
    assert any(
        f"{FOLDER}/{name}: does not belong here" in p
        for p in problems({**rendered(spec()), name: b"{}"})
    )


@pytest.mark.parametrize("name", sorted(rendered(spec())))
def test_a_missing_file_is_told(name: str) -> None:
    files = rendered(spec())
    del files[name]
    assert f"{FOLDER}/{name}: is missing" in problems(files)


@pytest.mark.parametrize("content", [b"a: [", b"- a", b"", b"a: 1\na: 2", b"\xff"])
def test_a_kustomization_that_cannot_be_read_is_a_problem(content: bytes) -> None:
    assert problems({**rendered(spec()), "kustomization.yaml": content})


def test_sizes_are_bounded() -> None:
    files = _with_local()
    assert any("1 MiB" in p for p in problems({**files, "local/big": b"x" * 1024 * 1024}))
    many = {f"local/f{number}": b"" for number in range(200)}
    assert any("200 at most" in p for p in problems({**files, **many}))


def test_a_platform_may_not_bring_anything_from_elsewhere() -> None:
    kustomization = {**COMPONENT, "resources": ["../../../../tenants"]}
    files = {**PLATFORM, "platform/v1/plans/x/kustomization.yaml": dump(kustomization)}
    assert "leads out" in str(check_platform(files, folder="platform/v1"))

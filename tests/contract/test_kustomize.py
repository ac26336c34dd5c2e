"""The adapter and the real Kustomize: what is written arrives, and what fails says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantry.adapters.kustomize import Kustomize
from tenantry.core.errors import ProgramError, ProgramMissing, ProgramTimeout
from tenantry.core.printer import dump
from tests.overlays import HOSTILE, TEXTS
from tests.programs import require

LIKE_OTHER_TYPES = ["0o17", "56e9999", ".5e1", "1_000", "0x1f", "y", "NO", "=", "<<", "2026-11-22"]
HEAD = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


@pytest.fixture
def kustomize() -> Kustomize:
    return Kustomize(require("kustomize"), deadline=30)


def _put(folder: Path, **files: object) -> Path:
    for name, tree in files.items():
        (folder / f"{name}.yaml").write_bytes(dump(tree))
    return folder


def _config_map(texts: list[str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "texts", "annotations": dict(_numbered(texts))},
        "data": dict(_numbered(texts)),
    }


def _numbered(texts: list[str]) -> list[tuple[str, str]]:
    return [(f"k{number}", text) for number, text in enumerate(texts)]


def _survives(kustomize: Kustomize, folder: Path, texts: list[str]) -> None:
    tree = _config_map(texts)
    _put(folder, kustomization={**HEAD, "namespace": "x", "resources": ["map.yaml"]}, map=tree)
    (built,) = kustomize.build(folder)
    assert built["data"] == tree["data"]
    assert built["metadata"]["annotations"] == tree["data"]


def test_hostile_texts_arrive_as_they_are(kustomize: Kustomize, tmp_path: Path) -> None:
    _survives(kustomize, tmp_path, [*HOSTILE, *LIKE_OTHER_TYPES])


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(TEXTS, min_size=20, max_size=60))
def test_any_text_arrives_as_it_is(kustomize: Kustomize, tmp_path: Path, texts: list[str]) -> None:
    _survives(kustomize, tmp_path, texts)


def test_a_folder_that_does_not_build_says_why_and_not_where_we_are(
    kustomize: Kustomize, tmp_path: Path
) -> None:
    folder = tmp_path / "tenant"
    folder.mkdir()
    _put(folder, kustomization={**HEAD, "resources": ["missing.yaml"]})
    with pytest.raises(ProgramError) as caught:
        kustomize.build(folder, root=tmp_path)
    assert caught.value.message.startswith("kustomize: ")
    assert "tenant/missing.yaml" in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing):
        Kustomize(str(tmp_path / "kustomize"), deadline=5).build(tmp_path)


def _script(place: Path, text: str) -> str:
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return str(place)


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    program = _script(tmp_path / "kustomize", "exec tail -f /dev/null")
    with pytest.raises(ProgramTimeout):
        Kustomize(program, deadline=0.3).build(tmp_path)


@pytest.mark.parametrize("output", ["a: [", "- a\n- b", "text"])
def test_output_that_is_no_object_is_refused(tmp_path: Path, output: str) -> None:
    program = _script(tmp_path / "kustomize", f"cat <<'END'\n{output}\nEND")
    with pytest.raises(ProgramError):
        Kustomize(program, deadline=5).build(tmp_path)

"""A tenant's folder as it shall be: files and tree id, from what is wanted and what is sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.edits import Edit
from tenantry.core.errors import OverlayRefused
from tenantry.core.gittree import tree_id
from tenantry.core.model import TenantSpec
from tenantry.core.overlay import LOCAL, render
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class RenderedFiles:
    """A tenant's folder: its files, the sub-folders that stay, its tree id, and the edit by hand
    that is in the files.
    """

    files: Mapping[str, bytes]
    keeps: Mapping[str, str]  # name -> tree id
    tree: str
    edit: Edit | None = None


def render_files(
    service: Service,
    cell: Cell,
    spec: TenantSpec,
    ciphertext: Mapping[str, str],
    *,
    local: str | None,
) -> RenderedFiles:
    """The folder that the tenant shall have on main; `local` is the tree id of its `local/` there,
    None where it has none. OverlayRefused where it cannot be rendered, ProductError where that is
    the templates' fault.
    """
    if local == NOT_A_TREE:
        raise OverlayRefused([f"{naming.folder(spec.name)}/{LOCAL} is no folder"])
    secret = service.product.secret
    lacking = secret.keys.keys() - secret.complete(spec.secret_versions).keys()
    if lacking:
        raise OverlayRefused([f"{spec.name} has no value for {', '.join(sorted(lacking))}"])
    files = render(
        spec,
        ciphertext,
        product=service.product,
        templates=service.templates,
        cell=cell.facts,
        has_local=local is not None,
    )
    keeps = {LOCAL: local} if local else {}
    return RenderedFiles(files, keeps, tree_id(files, folders=keeps))

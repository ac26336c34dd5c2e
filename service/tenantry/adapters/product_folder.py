"""Reads the vendor's folder, `tenant_templates/`: product, overlay templates, platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tenantry.core.errors import ProductError
from tenantry.core.naming import platform_folder
from tenantry.core.overlay import Templates, load_templates
from tenantry.core.platform import complete
from tenantry.core.product import Product
from tenantry.core.product_file import load_product


@dataclass(frozen=True)
class ProductFolder:
    """What a vendor's folder holds, read and checked."""

    product: Product
    templates: Templates
    platform: Mapping[str, bytes]  # as `read_platform`


def read_product_folder(folder: Path) -> ProductFolder:
    """The folder's content; ProductError with file, line and hint for what is not usable."""
    product = load_product(_read_text(folder / "product.yaml"), "product.yaml")
    overlay = {path.name: _read_text(path) for path in sorted((folder / "overlay").glob("*.yaml"))}
    templates = load_templates(overlay, product)
    return ProductFolder(product, templates, read_platform(folder, product))


def read_mail_templates(folder: Path) -> dict[str, str]:
    """The texts of mail by file name, unchecked; ProductError where one cannot be read."""
    paths = [path for path in sorted((folder / "mail").glob("*")) if path.is_file()]
    return {path.name: _read_text(path) for path in paths}


def read_platform(folder: Path, product: Product) -> dict[str, bytes]:
    """The platform version for new tenants, complete: path within it -> content; ProductError with
    file, line and hint for what is not usable.
    """
    name = platform_folder(product.platform)
    return complete(read_files(folder / name), product, folder=name)


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`: path within it -> content; empty where there is no folder.
    ProductError for what is neither file nor folder, such as a link, and for what cannot be read.
    """
    return {
        path.relative_to(folder).as_posix(): _read_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def _read_file(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        hint = "put a file there: what it leads to may be another tomorrow"
        raise ProductError("is a link or no ordinary file", file=str(path), hint=hint)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProductError("cannot be read", file=str(path), hint=error.strerror) from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ProductError("cannot be read", file=path.name, hint=error.strerror) from error
    except UnicodeDecodeError as error:
        raise ProductError("is not UTF-8", file=path.name) from error

"""What a fault is: what fails of a tenant, or that it is all of Argo CD.

In a text, `{name}`, `{namespace}`, `{pod}` and `{image}` are those of the object that fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Happening:
    """A Kubernetes event about an object of this kind."""

    kind: str
    reason: str
    message: str
    component: str


@dataclass(frozen=True)
class Fault:
    """What fails of one tenant: `kind` says which of its objects, the rest what of them."""

    kind: str = "Deployment"
    health: Mapping[str, str] | None = None  # of the object
    blocker: str = ""  # why its new pods do not run
    created: bool = True  # whether those pods exist at all
    pod: Mapping[str, str] = field(default_factory=dict)  # their health
    refusal: str = ""  # of the API server, when the object is applied
    forbidden: bool = False  # the project does not permit the kind
    differs: bool = False  # from Git, at every comparison
    owner: str = ""  # the other Application that has the object
    build_error: str = ""
    silent: bool = False  # the instance does not answer
    window: bool = False  # a sync window forbids syncs
    keeps: bool = False  # a finalizer of the object holds up a deletion
    flaps: bool = False  # there for a moment now and then
    happenings: tuple[Happening, ...] = ()


@dataclass(frozen=True)
class Case:
    """One thing to break. `fault`: of one tenant; None: it is all of Argo CD that breaks."""

    name: str
    plays: str
    fault: Fault | None = None

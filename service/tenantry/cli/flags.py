"""`tenantry flags`: the switches of the whole service."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from tenantry.cli.bulk import opened
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo
from tenantry.core.model import FlagName
from tenantry.flows.flags import Switch, read_flags, set_flag

ACTOR = "operator"


@click.group()
def flags() -> None:
    """Close signups, pause publishing, or have nothing written.

    signups_open: new customers may sign up. publish_paused: nothing is pushed to Git.
    read_only_service: web and worker change nothing.
    """


@flags.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """How the switches stand, and who moved them, when and why."""
    with opened() as service:
        found = read_flags(service)
    if as_json:
        echo(json.dumps({"flags": [_facts(each) for each in found]}))
        return
    for each in found:
        echo(each.as_text())


def _facts(switch: Switch) -> dict[str, object]:
    set_at = switch.set_at.isoformat() if switch.set_at else None
    return {**asdict(switch), "set_at": set_at, "moved": switch.is_moved}


@flags.command("set")
@click.argument("name", type=click.Choice([name.value for name in FlagName]))
@click.argument("value", type=click.Choice(["on", "off"]))
@click.option("--why", default="", metavar="TEXT", help="For other operators; no personal data.")
@json_option
def set_command(name: str, value: str, why: str, as_json: bool) -> None:
    """Move a switch. All processes follow within a second."""
    with opened() as service:
        set_flag(service, FlagName(name), is_on=value == "on", why=why, actor=ACTOR)
        (stands,) = (each for each in read_flags(service) if each.name == name)
    echo(json.dumps(_facts(stands)) if as_json else f"{name} is {value}")

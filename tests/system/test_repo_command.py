"""`tenantry repo` as an operator runs it: what it says, asks and answers to programs."""

from __future__ import annotations

import json

from tenantry.flows.auditing import repository
from tests.migrated import on_sqlite
from tests.system.console import Operator
from tests.system.fleet import edit, look, mend, publish_all, remove
from tests.system.test_tenants_command import generations, publish_in_both, two_cells
from tests.system.world import World

__all__ = ["two_cells"]
# where a command is a process of its own, and the database is tried by the flows' tests

# Audit


@on_sqlite
def test_the_audit_command_tells_findings_and_exits_as_it_says(world: World) -> None:
    operator = Operator(world)
    customer_id = world.sign_up().customer_id
    world.publish()
    head = world.git("rev-parse", "main")
    with world.work_tree() as place:
        path = place / world.folder_of(customer_id) / "namespace.yaml"
        path.write_text(path.read_text() + "# by hand\n")
    code, out, err = operator.run("repo", "audit")
    finding, summary = out.splitlines()
    assert (code, err) == (1, "")
    assert finding.startswith(f"tree_differs: {customer_id} ")
    assert summary.endswith("1 tenants, 0 about to be published: 1 tree_differs")
    code, out, _ = operator.run("repo", "audit", "--repair", "--overwrite", customer_id, "--json")
    (told,) = json.loads(out)["cells"]
    assert (code, told["findings"]) == (0, [])
    assert told["marked"] == [{"customer_id": customer_id, "findings": ["tree_differs"]}]
    world.git("update-ref", "refs/heads/main", head)
    assert operator.run("repo", "accept-history", "--yes")[0] == 0
    for branch in world.git("for-each-ref", "--format=%(refname)", "--no-merged=main").split():
        world.git("update-ref", branch, "main")  # as the audit says
    code, out, _ = operator.run("repo", "audit", "--repair")
    assert (code, out.splitlines()[-1].rpartition(": ")[2]) == (0, "nothing wrong")
    code, out, _ = operator.run("repo", "status", "--json")
    (told,) = json.loads(out)["cells"]
    assert (code, told["halted"], told["behind"]) == (0, None, 0)
    assert told["head"] == world.git("rev-parse", "main")


@on_sqlite
def test_edits_are_told_with_their_difference_and_adopted_by_name(world: World) -> None:
    ids, operator = publish_all(world, 2), Operator(world)
    for each in ids:
        edit(world, each)
    (told,) = json.loads(operator.run("repo", "audit", "--json")[1])["cells"]
    assert ["+# by hand" in each["edited"]["namespace.yaml"] for each in told["findings"]] == [
        True, True,
    ]  # fmt: skip
    assert operator.run("repo", "adopt", *ids)[:2] == (
        0, "".join(f"{each}: adopted namespace.yaml\n" for each in ids),
    )  # fmt: skip
    assert operator.run("repo", "audit")[0] == 0
    code, _, err = operator.run("repo", "adopt", ids[0])
    assert (code, "no edit that nobody adopted" in err) == (1, True)
    code, _, err = operator.run("repo", "adopt", "cust-typo")
    assert (code, "cust-typo: there is no such tenant" in err) == (2, True)


@on_sqlite
def test_a_repair_that_was_not_published_is_no_success(world: World) -> None:
    (customer_id,), operator = publish_all(world, 1), Operator(world)
    remove(world, customer_id)
    hook = world.remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nprintf 'no \\033[2J\\n'\nexit 1\n")
    hook.chmod(0o755)
    command = ("repo", "audit", "--repair", "--overwrite", customer_id)
    code, out, err = operator.run(*command)
    assert (code, out.splitlines()[-1]) == (
        1, "1 looked at, 1 marked, 0 published, 1 failed, 0 waiting",
    )  # fmt: skip
    assert err.startswith(f"{customer_id}: the remote refused the push")
    assert "\x1b" not in out + err
    code, listed, _ = operator.run("tenants", "list")
    assert (code, "\x1b" in listed) == (0, False)
    hook.unlink()
    assert operator.run("tenants", "retry", customer_id)[0] == 0
    assert operator.run("repo", "audit")[0] == 0


@on_sqlite
def test_who_is_named_for_nothing_is_told_before_anything_is_done(world: World) -> None:
    publish_all(world, 1)
    operator = Operator(world)
    code, _, err = operator.run("repo", "audit", "--repair", "--overwrite", "cust-typo")
    assert (code, "--overwrite cust-typo: there is no such tenant" in err) == (2, True)
    code, _, err = operator.run("repo", "audit", "--overwrite", "cust-typo")
    assert (code, "--overwrite goes with --repair" in err) == (2, True)


@on_sqlite
def test_an_audit_that_is_stopped_says_how_far_it_came(world: World) -> None:
    publish_all(world, 3)
    code, err = Operator(world).stop_at_page(2, "repo", "audit")
    assert (code, err) == (
        130, "tenantry: stopped; looked at 2, marked 0; to go on: the same command\n",
    )  # fmt: skip


@on_sqlite
def test_cells_are_one_document_and_one_that_fails_keeps_no_other(two_cells: World) -> None:
    ids, operator = publish_in_both(two_cells, 1), Operator(two_cells)
    edit(two_cells, ids[1])
    code, out, err = operator.run("repo", "audit", "--json")
    told = json.loads(out)
    assert (code, err, told["looked_at"]) == (1, "", 2)
    assert {each["cell"]: len(each["findings"]) for each in told["cells"]} == {
        "main": 1, "other": 0,
    }  # fmt: skip
    command = ("repo", "audit", "--repair", "--overwrite", ids[1], "--json")
    told = json.loads(operator.run(*command)[1])
    assert (told["marked"], told["published"], generations(two_cells, ids)) == (1, 1, [1, 2])
    code, out, _ = operator.run("repo", "status", "--json")
    assert (code, {each["cell"] for each in json.loads(out)["cells"]}) == (0, {"main", "other"})
    away = two_cells.remote.rename(two_cells.folder / "away.git")
    code, out, err = operator.run("repo", "audit", "--json")
    assert (code, [each["cell"] for each in json.loads(out)["cells"]]) == (1, ["other"])
    assert err.startswith("cell main: fetch failed: ")
    away.rename(two_cells.remote)


# Rewritten history


@on_sqlite
def test_a_history_is_accepted_by_who_says_yes(world: World) -> None:
    publish_all(world, 1)
    before = world.git("rev-parse", "main")
    operator = Operator(world)
    assert operator.run("repo", "accept-history")[1].endswith("the one that was published to\n")
    world.sign_up()
    world.publish()
    world.git("update-ref", "refs/heads/main", before)
    code, out, err = operator.run("repo", "accept-history", answer="n\n")
    assert (code, f"main is at  {before}" in out) == (1, True)
    assert err.endswith("tenantry: nothing was changed\n")
    assert repository.read_status(world.service, world.cell).head != before
    code, out, _ = operator.run("repo", "accept-history", answer="y\n")
    assert (code, "accepted" in out) == (0, True)
    assert repository.read_status(world.service, world.cell).head == before
    assert mend(world, look(world))

"""The Pod Security Standards: what the API server asks of pods at the levels baseline, restricted.

A field that a level fixes may not say anything else wherever it stands: the API server looks at the
pod's own context too where every container overrides it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.core.objects.item import Item, Tree, items, texts, tree
from tenantry.core.problem import Problem

_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
_BASELINE_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
_RESTRICTED_CAPABILITIES = {"NET_BIND_SERVICE"}
_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_syncookies",
}  # fmt: skip
_SELINUX_TYPES = {
    None, "", "container_engine_t", "container_init_t", "container_kvm_t", "container_t",
}  # fmt: skip
_SECCOMP = ("RuntimeDefault", "Localhost")
_ASKED = (
    ("startupProbe",), ("livenessProbe",), ("readinessProbe",),
    ("lifecycle", "postStart"), ("lifecycle", "preStop"),
)  # fmt: skip


def check_baseline(item: Item) -> Iterator[Problem]:
    """What no tenant's pods may do, whatever the level of their namespace."""
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if item.pod.get(name):
            yield Problem(item.where, f"{name} is not allowed")
    for volume in item.volumes:
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            yield Problem(item.where, f"volumes of kind {sorted(kinds - _VOLUMES)} are not allowed")
    for sysctl in items(item.pod, "securityContext", "sysctls"):
        if str(sysctl.get("name")) not in _SYSCTLS:
            yield Problem(item.where, f"the sysctl {sysctl.get('name')!r} is not allowed")
    for context in _contexts(item):
        yield from _check_context(item, context)
    for container in item.all_containers:
        yield from _check_container(item, container)


def check_restricted(item: Item) -> Iterator[Problem]:
    """What the level `restricted` asks of each container, itself or through its pod."""
    pod = tree(item.pod, "securityContext")
    if item.pod and (pod.get("runAsNonRoot") is False or pod.get("runAsUser") == 0):
        yield Problem(item.where, "its pod would be refused: it needs runAsNonRoot: true")
    for container in item.all_containers:
        own = tree(container, "securityContext")
        both: Tree = {**pod, **own}
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield _refused(item, container, "runAsNonRoot: true")
        if tree(both, "seccompProfile").get("type") not in _SECCOMP:
            yield _refused(item, container, "seccompProfile: {type: RuntimeDefault}")
        if own.get("allowPrivilegeEscalation") is not False:
            yield _refused(item, container, "allowPrivilegeEscalation: false")
        if "ALL" not in texts(tree(own, "capabilities").get("drop")):
            yield _refused(item, container, "capabilities: {drop: [ALL]}")
        yield from _check_capabilities(item, container, _RESTRICTED_CAPABILITIES)


def _contexts(item: Item) -> list[Tree]:
    """The security contexts of the pod and of all its containers."""
    return [tree(each, "securityContext") for each in (item.pod, *item.all_containers)]


def _check_context(item: Item, context: Tree) -> Iterator[Problem]:
    if tree(context, "seccompProfile").get("type") == "Unconfined":
        yield Problem(item.where, "a pod without seccomp is not allowed")
    if tree(context, "appArmorProfile").get("type") == "Unconfined":
        yield Problem(item.where, "a pod without AppArmor is not allowed")
    if tree(context, "windowsOptions").get("hostProcess"):
        yield Problem(item.where, "a process of the host is not allowed")
    options = tree(context, "seLinuxOptions")
    if options.get("type") not in _SELINUX_TYPES or options.get("user") or options.get("role"):
        yield Problem(item.where, "seLinuxOptions of its own are not allowed")


def _check_container(item: Item, container: Tree) -> Iterator[Problem]:
    context = tree(container, "securityContext")
    if context.get("privileged"):
        yield Problem(item.where, "a privileged container is not allowed")
    if context.get("procMount", "Default") != "Default":
        yield Problem(item.where, "procMount is not allowed")
    if any(port.get("hostPort") for port in items(container, "ports")):
        yield Problem(item.where, "hostPort is not allowed")
    yield from _check_capabilities(item, container, _BASELINE_CAPABILITIES)
    for path in _ASKED:
        for action in ("httpGet", "tcpSocket"):
            # the node asks, and no NetworkPolicy holds it back
            if host := tree(container, *path, action).get("host"):
                yield Problem(
                    item.where, f"{path[-1]} asks another host, {host!r}", "leave host out"
                )


def _check_capabilities(item: Item, container: Tree, allowed: set[str]) -> Iterator[Problem]:
    added = texts(tree(container, "securityContext", "capabilities").get("add"))
    if more := sorted(set(added) - allowed):
        yield Problem(item.where, f"capabilities {more} are not allowed")


def _refused(item: Item, container: Tree, wanted: str) -> Problem:
    name = container.get("name")
    return Problem(item.where, f"container {name!r} would be refused: it needs {wanted}")

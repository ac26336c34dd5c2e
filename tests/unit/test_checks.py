"""Each check on built objects, proven by objects that violate it (R27)."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest

from tenantry.core.document import load_all
from tenantry.core.model import State
from tenantry.core.objects.checks import ALLOWED_KINDS, Expected, check_objects
from tenantry.core.objects.item import quantity
from tenantry.core.objects.sealed import is_ciphertext
from tests.overlays import DATA, ciphertext, product, spec
from tools.work import ROOT

EXPECTED = Expected.of(spec(), product())
CLAIM = "PersistentVolumeClaim/postgres-data"
Change = Callable[["Built"], Any]


@cache
def _stored() -> list[dict[str, Any]]:
    return load_all((DATA / "built.yaml").read_bytes(), "built.yaml")


class Built:
    """The stored objects of a good tenant, to be spoiled."""

    def __init__(self) -> None:
        self.objects = copy.deepcopy(_stored())

    def __getitem__(self, name: str) -> dict[str, Any]:
        """The one object of that kind and name; a name may end in `*`, or be left out."""
        kind, _, name = name.partition("/")
        (found,) = [
            body
            for body in self.objects
            if body["kind"] == kind and fnmatchcase(body["metadata"]["name"], name or "*")
        ]
        return found

    def drop(self, name: str) -> Built:
        self.objects.remove(self[name])
        return self

    def add(self, kind: str, name: str, api: str = "v1", **fields: Any) -> None:
        metadata = {"name": name, "namespace": EXPECTED.name}
        self.objects.append({"apiVersion": api, "kind": kind, "metadata": metadata, **fields})

    def resize(self, size: str) -> None:
        self[CLAIM]["spec"]["resources"]["requests"]["storage"] = size

    def limit(self, name: str, amount: str) -> Built:
        self["ResourceQuota/"]["spec"]["hard"][name] = amount
        return self

    def fill(self, count: int, size: int) -> None:
        for number in range(count):
            self.add("ConfigMap", f"filler-{number}", data={"a": "x" * size})

    @property
    def api(self) -> dict[str, Any]:
        return self["Deployment/api"]

    @property
    def pod(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api["spec"]["template"]["spec"]
        return found

    @property
    def container(self) -> dict[str, Any]:
        found: dict[str, Any] = self.pod["containers"][0]
        return found

    def init(self, memory: str, **fields: str) -> Built:
        """A further init container of the API's pods."""
        context = copy.deepcopy(self.container["securityContext"])
        added = {"name": "x", "image": "x:1", "resources": {"limits": {"memory": memory}}}
        self.pod["initContainers"] = [{**added, "securityContext": context, **fields}]
        return self

    def sidecar(self, memory: str) -> Built:
        return self.init(memory, restartPolicy="Always")

    @property
    def config(self) -> str:
        """The name of the API's ConfigMap."""
        return str(self["ConfigMap/api-config-*"]["metadata"]["name"])

    @property
    def sealed(self) -> dict[str, Any]:
        found: dict[str, Any] = self["SealedSecret/iotistic-secrets"]["spec"]
        return found

    @property
    def rule(self) -> dict[str, Any]:
        found: dict[str, Any] = self["Ingress/iotistic-ingress"]["spec"]["rules"][0]
        return found


def problems(built: Built, expected: Expected = EXPECTED) -> list[str]:
    found = check_objects(built.objects, expected=expected, product=product())
    return [str(problem) for problem in found]


def test_a_good_tenant_has_no_problem() -> None:
    assert problems(Built()) == []


def _set(tree: Any, value: Any, *path: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {}) if isinstance(tree, dict) else tree[key]
    tree[path[-1]] = value


def _ask_elsewhere(*path: str) -> Change:
    return lambda b: _set(b.container, "169.254.169.254", *path, "host")


VIOLATIONS: dict[str, tuple[Change, str]] = {
    # shape
    "no kind": (lambda b: b.api.pop("kind"), "has no apiVersion or kind"),
    "no apiVersion": (lambda b: b.objects[0].pop("apiVersion"), "has no apiVersion or kind"),
    "no name": (lambda b: b.api["metadata"].pop("name"), "is not a legal name"),
    "capital letters": (lambda b: b.add("ConfigMap", "Iotistic"), "is not a legal name"),
    "service beginning with a digit": (lambda b: b.add("Service", "1a"), "is not a legal name"),
    "too long a name": (lambda b: b.add("ConfigMap", "a" * 254), "is not a legal name"),
    "twice": (lambda b: b.objects.append(b.api), "is there 2 times"),
    # kinds and namespaces
    "plain Secret": (lambda b: b.add("Secret", "s"), "plain Secret"),
    "cluster kind": (
        lambda b: b.add("ClusterRole", "x", "rbac.authorization.k8s.io/v1"),
        "kind that tenants may not have",
    ),
    "same kind of another group": (
        lambda b: b.add("Deployment", "x", "example.com/v1"),
        "kind that tenants may not have",
    ),
    "no namespace object": (lambda b: b.drop("Namespace/"), "there must be one"),
    "another namespace object": (
        lambda b: _set(b["Namespace/"], "customer-zzzzzzzzzz", "metadata", "name"),
        "there must be one",
    ),
    "object in another namespace": (
        lambda b: _set(b.api, "kube-system", "metadata", "namespace"),
        "is in namespace 'kube-system'",
    ),
    "object in no namespace": (
        lambda b: b.api["metadata"].pop("namespace"),
        "is in namespace None",
    ),
    # sealed secret
    "no sealed secret": (lambda b: b.drop("SealedSecret/"), "iotistic-secrets: is missing"),
    "key missing": (
        lambda b: b.sealed["encryptedData"].pop("JWT_SECRET"),
        "missing ['JWT_SECRET']",
    ),
    "key too many": (
        lambda b: _set(b.sealed, ciphertext("x"), "encryptedData", "MORE"),
        "more ['MORE']",
    ),
    "plain text": (
        lambda b: _set(b.sealed, "hunter2hunter2", "encryptedData", "JWT_SECRET"),
        "JWT_SECRET is not sealed",
    ),
    "cluster-wide": (
        lambda b: _set(
            b["SealedSecret/"], "true", "metadata", "annotations",
            "sealedsecrets.bitnami.com/cluster-wide",
        ),
        "weakens its scope",
    ),
    "namespace-wide in the template": (
        lambda b: _set(
            b.sealed, {"sealedsecrets.bitnami.com/namespace-wide": "true"},
            "template", "metadata", "annotations",
        ),
        "weakens its scope",
    ),
    "plain data in the template": (
        lambda b: _set(b.sealed, {"a": "b"}, "template", "data"),
        "beside the encrypted ones",
    ),
    "another type": (
        lambda b: _set(b.sealed, "kubernetes.io/tls", "template", "type"),
        "not Opaque",
    ),
    # references
    "unknown secret key": (
        lambda b: _set(b.container["env"][-1], "NOPE", "valueFrom", "secretKeyRef", "key"),
        "reads 'NOPE'",
    ),
    "unknown secret": (
        lambda b: b.container.update(envFrom=[{"secretRef": {"name": "nope"}}]),
        "reads the Secret 'nope'",
    ),
    "unknown secret volume": (
        lambda b: b.pod["volumes"].append({"name": "s", "secret": {"secretName": "nope"}}),
        "reads the Secret 'nope'",
    ),
    "unknown pull secret": (
        lambda b: b.pod.update(imagePullSecrets=[{"name": "nope"}]),
        "reads the Secret 'nope'",
    ),
    "no ConfigMap": (
        lambda b: b.drop("ConfigMap/api-config-*"),
        "Deployment/api: reads the ConfigMap 'api-config-",
    ),
    "unknown key of a ConfigMap": (
        lambda b: b.container["env"].append(
            {"name": "X", "valueFrom": {"configMapKeyRef": {"name": b.config, "key": "nope"}}}
        ),
        "reads 'nope', which the ConfigMap 'api-config-",
    ),
    "unknown file of a ConfigMap": (
        lambda b: _set(b.pod, [{"key": "nope", "path": "x"}], "volumes", 0, "configMap", "items"),
        "reads 'nope', which the ConfigMap 'api-config-",
    ),
    "no claim": (lambda b: b.drop(CLAIM), "mounts the claim 'postgres-data'"),
    "unknown volume": (
        lambda b: b.container["volumeMounts"].append({"name": "nope", "mountPath": "/x"}),
        "mounts the volume 'nope', which it has not",
    ),
    "service without pods": (
        lambda b: _set(b["Service/api"], {"a": "b"}, "spec", "selector"),
        "selects no pods",
    ),
    "service with another port": (
        lambda b: _set(b["Service/api"], "https", "spec", "ports", 0, "targetPort"),
        "leads to port 'https'",
    ),
    "service with another number": (
        lambda b: b["Service/postgres"]["spec"].update(ports=[{"port": 1234}]),
        "leads to port 1234",
    ),
    "load balancer": (
        lambda b: _set(b["Service/api"], "LoadBalancer", "spec", "type"),
        "is of type LoadBalancer",
    ),
    "external address": (
        lambda b: _set(b["Service/api"], ["192.0.2.1"], "spec", "externalIPs"),
        "external addresses",
    ),
    "probe of no port": (
        lambda b: _set(b.container, 99, "livenessProbe", "httpGet", "port"),
        "livenessProbe asks port 99",
    ),
    "probe of another container's port": (
        lambda b: b.pod["containers"].append(
            {"name": "beside", "livenessProbe": {"httpGet": {"port": "http"}}}
        ),
        "livenessProbe asks port 'http'",
    ),
    # ingress
    "another host": (
        lambda b: _set(b.rule, "cust-zzzzzzzzzz.example.com", "host"),
        "answers for the host 'cust-zzzzzzzzzz.example.com'",
    ),
    "any host": (lambda b: b.rule.pop("host"), "answers for the host 'None'"),
    "another host's certificate": (
        lambda b: _set(b["Ingress/"], ["example.com"], "spec", "tls", 0, "hosts"),
        "answers for the host 'example.com'",
    ),
    "another certificate": (
        lambda b: _set(b["Ingress/"], "theirs", "spec", "tls", 0, "secretName"),
        "uses the certificate 'theirs'",
    ),
    "no rules": (
        lambda b: b["Ingress/"]["spec"].update(rules=[], tls=[]),
        "names no host",
    ),
    "backend that is not there": (
        lambda b: _set(b.rule, "admin", "http", "paths", 0, "backend", "service", "name"),
        "leads to 'admin'",
    ),
    "backend port that is not there": (
        lambda b: _set(b.rule, 80, "http", "paths", 0, "backend", "service", "port", "number"),
        "which has no such port",
    ),
    "pods that no controller may reach": (
        lambda b: b["Deployment/nginx"]["spec"]["template"]["metadata"]["labels"].pop(
            "tenantry.dev/from-ingress"
        ),
        "leads to port 'http' of Deployment/nginx, where no NetworkPolicy lets anybody in",
    ),
    "port that no controller may reach": (
        lambda b: _set(b["NetworkPolicy/from-ingress"], [{"port": 99}], "spec", "ingress", 0,
                       "ports"),
        "leads to port 'http' of Deployment/nginx, where no NetworkPolicy lets anybody in",
    ),
    "controller snippet": (
        lambda b: _set(
            b["Ingress/"], "return 200;", "metadata", "annotations",
            "nginx.ingress.kubernetes.io/configuration-snippet",
        ),
        "can reconfigure",
    ),
    # admission
    "no Pod Security level": (
        lambda b: b["Namespace/"]["metadata"].pop("labels"),
        "no Pod Security level",
    ),
    "hostNetwork": (lambda b: b.pod.update(hostNetwork=True), "hostNetwork is not allowed"),
    "hostPath": (
        lambda b: b.pod["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
        "['hostPath'] are not allowed",
    ),
    "hostPort": (
        lambda b: _set(b.container, 80, "ports", 0, "hostPort"),
        "hostPort is not allowed",
    ),
    "privileged": (
        lambda b: _set(b.container, True, "securityContext", "privileged"),
        "privileged container",
    ),
    "privileged init container": (
        lambda b: b.pod.update(initContainers=[{"securityContext": {"privileged": True}}]),
        "privileged container",
    ),
    "capability": (
        lambda b: _set(b.container, ["SYS_ADMIN"], "securityContext", "capabilities", "add"),
        "capabilities ['SYS_ADMIN']",
    ),
    "root": (lambda b: b.pod["securityContext"].update(runAsUser=0), "needs runAsNonRoot"),
    "may be root": (lambda b: b.pod["securityContext"].pop("runAsNonRoot"), "needs runAsNonRoot"),
    "no seccomp": (
        lambda b: b.pod["securityContext"].pop("seccompProfile"),
        "needs seccompProfile",
    ),
    "escalation": (
        lambda b: b.container["securityContext"].pop("allowPrivilegeEscalation"),
        "needs allowPrivilegeEscalation",
    ),
    "capabilities kept": (
        lambda b: b.container["securityContext"].pop("capabilities"),
        "needs capabilities",
    ),
    "no image": (lambda b: b.container.pop("image"), "the image 'None' is no image reference"),
    "image without a version": (
        lambda b: b.container.update(image="nginx"),
        "the image 'nginx' must name one version",
    ),
    "latest image": (
        lambda b: b.container.update(image="registry.example:5000/a/nginx:latest"),
        "must name one version",
    ),
    "image of an init container": (
        lambda b: _set(b["Deployment/mosquitto"], "x", "spec", "template", "spec",
                       "initContainers", 0, "image"),
        "Deployment/mosquitto: the image 'x' must name one version",
    ),
    "projected token": (
        lambda b: b.pod["volumes"].append(
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
        ),
        "a token for the cluster's API",
    ),
    "a node": (lambda b: b.pod.update(nodeName="control-plane"), "names its node"),
    "priority of the system": (
        lambda b: b.pod.update(priorityClassName="system-node-critical"),
        "would evict other tenants' pods",
    ),
    "token": (
        lambda b: b.pod.pop("automountServiceAccountToken"),
        "a token for the cluster's API",
    ),
    "isolation that is not applied": (
        lambda b: _set(b["NetworkPolicy/default-deny"], {"argocd.argoproj.io/hook": "Skip"},
                       "metadata", "annotations"),
        "NetworkPolicy/default-deny: is a hook",
    ),
    "isolation that is not applied, as Helm says it": (
        lambda b: _set(b["NetworkPolicy/default-deny"], {"helm.sh/hook": "crd-install"},
                       "metadata", "annotations"),
        "NetworkPolicy/default-deny: is a hook",
    ),
    "open pods": (
        lambda b: b.drop("NetworkPolicy/default-deny"),
        "NetworkPolicy: none closes the",
    ),
    "quota too small for the surge": (
        lambda b: b.limit("requests.cpu", "1290m"),
        "requests.cpu is 1290m, and the overlay needs 1.295",
    ),
    "quota by another name": (
        lambda b: b.limit("cpu", "1290m"),
        "cpu is 1290m, and the overlay needs 1.295",
    ),
    "quota too small for the memory limits": (
        lambda b: b.limit("limits.memory", "2Gi"),
        "limits.memory is 2Gi",
    ),
    "quota too small for the pods": (
        lambda b: b.limit("pods", "11"),
        "pods is 11, and the overlay needs 12",
    ),
    "quota too small for the volumes": (
        lambda b: b.limit("requests.storage", "17Gi"),
        "requests.storage is 17Gi",
    ),
    "quota too small for the workloads": (
        lambda b: b.limit("count/deployments.apps", "7"),
        "count/deployments.apps is 7, and the overlay needs 8",
    ),
    "quota too small for the policies": (
        lambda b: b.limit("count/networkpolicies.networking.k8s.io", "1"),
        "count/networkpolicies.networking.k8s.io is 1",
    ),
    "quota too small for the solver's Service": (
        lambda b: b.limit("services", "8"),
        "services is 8, and the overlay needs 9",
    ),
    "quota without the solver's node port": (
        lambda b: b.limit("services.nodeports", "0"),
        "services.nodeports is 0, and the overlay needs 1",
    ),
    "quota without the certificate": (
        lambda b: b.limit("count/secrets", "1"),
        "count/secrets is 1, and the overlay needs 3",
    ),
    "quota too small for what is said by default": (
        lambda b: b.limit("limits.memory", "3775Mi")["Deployment/nginx"]["spec"]["template"][
            "spec"]["containers"][0].pop("resources"),
        "limits.memory is 3775Mi, and the overlay needs 3959422976",
    ),
    "quota too small for a sidecar": (
        lambda b: b.sidecar("1Gi").limit("limits.memory", "4Gi"),
        "limits.memory is 4Gi, and the overlay needs 6106906624",
    ),
    "quota too small for an init container": (
        lambda b: b.init("1Gi").limit("limits.memory", "4Gi"),
        "limits.memory is 4Gi, and the overlay needs 5033164800",
    ),
    "container that a quota keeps out": (
        lambda b: b.drop("LimitRange/").container["resources"]["limits"].pop("cpu"),
        "container 'api' would be refused: it says no limits.cpu",
    ),
    "quota that is none": (
        lambda b: b.limit("pods", "many"),
        "'many' is no quantity",
    ),
    "more replicas than the quota": (
        lambda b: _set(b.api, 8, "spec", "replicas"),
        "and the overlay needs",
    ),
    "more than the limit range": (
        lambda b: _set(b.container, "2", "resources", "limits", "cpu"),
        "asks for more cpu than the LimitRange",
    ),
    # what the API server would refuse
    **{
        f"{action} of {place[-1]} at another host": (
            _ask_elsewhere(*place, action),
            f"{place[-1]} asks another host, '169.254.169.254'",
        )
        for place in (("livenessProbe",), ("startupProbe",), ("lifecycle", "preStop"))
        for action in ("httpGet", "tcpSocket")
    },
    "procMount": (
        lambda b: _set(b.container, "Unmasked", "securityContext", "procMount"),
        "procMount is not allowed",
    ),
    "sysctl": (
        lambda b: _set(b.pod, [{"name": "kernel.msgmax"}], "securityContext", "sysctls"),
        "the sysctl 'kernel.msgmax' is not allowed",
    ),
    "SELinux": (
        lambda b: _set(b.container, {"type": "spc_t"}, "securityContext", "seLinuxOptions"),
        "seLinuxOptions of its own",
    ),
    "no AppArmor": (
        lambda b: _set(b.pod, {"type": "Unconfined"}, "securityContext", "appArmorProfile"),
        "a pod without AppArmor",
    ),
    "process of a Windows host": (
        lambda b: _set(b.pod, {"hostProcess": True}, "securityContext", "windowsOptions"),
        "a process of the host",
    ),
    "pod as root, whatever its containers say": (
        lambda b: (
            b.pod["securityContext"].update(runAsUser=0),
            b.container["securityContext"].update(runAsUser=1000),
        ),
        "its pod would be refused",
    ),
    "environment that is no text": (
        lambda b: b.container["env"].append({"name": "DEBUG", "value": True}),
        "Deployment/api: env: DEBUG is true, no text (quote it)",
    ),
    "label that is no text": (
        lambda b: _set(b.api, 1.1, "spec", "template", "metadata", "labels", "version"),
        "labels of its pods: version is 1.1, no text",
    ),
    "annotation that is no text": (
        lambda b: _set(b.api, 9797, "metadata", "annotations", "prometheus.io/port"),
        "annotations: prometheus.io/port is 9797, no text",
    ),
    "configuration that is no text": (
        lambda b: b.add("ConfigMap", "x", data={"settings": {"a": 1}}),
        "ConfigMap/x: data: settings is a tree, no text",
    ),
    "port that is none": (
        lambda b: _set(b["Service/api"], {"a": "b"}, "spec", "ports", 0, "targetPort"),
        "leads to port {'a': 'b'}",
    ),
    "amount that is none": (
        lambda b: _set(b.container, "64MB", "resources", "requests", "memory"),
        "container 'api': requests.memory: '64MB' is no quantity",
    ),
    "less memory than a byte": (
        lambda b: _set(b.container, "100m", "resources", "requests", "memory"),
        "container 'api': requests.memory: 100m is less than a byte",
    ),
    "replicas that are no number": (
        lambda b: b.api["spec"].update(replicas="3"),
        "Deployment/api: replicas: '3' is no number of pods",
    ),
    "fewer than no replicas": (
        lambda b: b.api["spec"].update(replicas=-1),
        "Deployment/api: replicas: -1 is no number of pods",
    ),
    "selector of other pods": (
        lambda b: b.api["spec"]["selector"].update(matchLabels={"app": "other"}),
        "Deployment/api: selects other pods than its own",
    ),
    "version that is gone": (
        lambda b: b.add("HorizontalPodAutoscaler", "x", "autoscaling/v2beta2"),
        "is of version 'v2beta2', which clusters do not serve (say v1 or v2)",
    ),
    "old version": (
        lambda b: b["Ingress/"].update(apiVersion="networking.k8s.io/v1beta1"),
        "is of version 'v1beta1', which clusters do not serve (say v1)",
    ),
    "ServiceAccount that is not there": (
        lambda b: b.pod.update(serviceAccountName="nobody"),
        "runs as the ServiceAccount 'nobody', which is not there",
    ),
    "scaling of what is not there": (
        lambda b: b.add("HorizontalPodAutoscaler", "x", "autoscaling/v2",
                        spec={"scaleTargetRef": {"kind": "Deployment", "name": "nope"}}),
        "HorizontalPodAutoscaler/x: scales Deployment/nope, which is not there",
    ),
    "scaling of what Git says": (
        lambda b: b.add("HorizontalPodAutoscaler", "x", "autoscaling/v2",
                        spec={"scaleTargetRef": {"kind": "Deployment", "name": "api"}}),
        "scales Deployment/api, whose replicas Argo CD would set back",
    ),
    # what reaches beyond the tenant
    "further host of an Ingress": (
        lambda b: _set(b["Ingress/"], f"{EXPECTED.host}, other.example.com", "metadata",
                       "annotations", "nginx.ingress.kubernetes.io/server-alias"),
        "answers for the host 'other.example.com'",
    ),
    "DNS name of another host": (
        lambda b: _set(b["Ingress/"], "other.example.com", "metadata", "annotations",
                       "external-dns.alpha.kubernetes.io/hostname"),
        "answers for the host 'other.example.com'",
    ),
    "Secret of another tenant": (
        lambda b: _set(b["Ingress/"], "customer-zzzzzzzzzz/users", "metadata", "annotations",
                       "nginx.ingress.kubernetes.io/auth-secret"),
        "auth-secret names a Secret of another namespace",
    ),
    "certificate for another host": (
        lambda b: b.add("Certificate", "x", "cert-manager.io/v1", spec={
            "dnsNames": [EXPECTED.host, "other.example.com"]}),
        "Certificate/x: is for 'other.example.com', not only for",
    ),
    "certificate with another common name": (
        lambda b: b.add("Certificate", "x", "cert-manager.io/v1", spec={"commonName": "*.a.b"}),
        "Certificate/x: is for '*.a.b', not only for",
    ),
    "certificate in place of the secrets": (
        lambda b: b.add("Certificate", "x", "cert-manager.io/v1", spec={
            "dnsNames": [EXPECTED.host], "secretName": "iotistic-secrets"}),
        "writes into the Secret 'iotistic-secrets'",
    ),
    "token by way of a sealed secret": (
        lambda b: b.add("SealedSecret", "x", "bitnami.com/v1alpha1", spec={
            "template": {"type": "kubernetes.io/service-account-token"}}),
        "SealedSecret/x: makes a token",
    ),
    # what was copied from a cluster
    "finalizer": (
        lambda b: _set(b.api, ["acme.example/keep"], "metadata", "finalizers"),
        "Deployment/api: names metadata.finalizers",
    ),
    "address of a Service": (
        lambda b: _set(b["Service/api"], "10.96.0.77", "spec", "clusterIP"),
        "Service/api: names an address of a cluster",
    ),
    "one volume for all": (
        lambda b: _set(b[CLAIM], "pv-1", "spec", "volumeName"),
        f"{CLAIM}: names one volume",
    ),
    "claim from a template": (
        lambda b: b.add("StatefulSet", "x", "apps/v1", spec={
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}),
        "StatefulSet/x: has volumeClaimTemplates",
    ),
    # versions, protection, sizes
    "license does not restart": (
        lambda b: b.api["spec"]["template"]["metadata"].pop("annotations"),
        "tenantry.dev/reads-license",
    ),
    "older license": (
        lambda b: _set(
            b.api, "old", "spec", "template", "metadata", "annotations",
            "tenantry.dev/license-version",
        ),
        "carry 'old'",
    ),
    "whole secret read without restart": (
        lambda b: _set(
            b["Deployment/postgres"], [{"secretRef": {"name": "iotistic-secrets"}}],
            "spec", "template", "spec", "containers", 0, "envFrom",
        ),
        "Deployment/postgres: reads what tenantry.dev/license-version",
    ),
    "unprotected namespace": (
        lambda b: _set(b["Namespace/"], "Prune=false", "metadata", "annotations",
                       "argocd.argoproj.io/sync-options"),
        "Namespace/customer-bcdfghjkmn: argocd.argoproj.io/sync-options must say",
    ),
    "unprotected claim": (
        lambda b: b[CLAIM]["metadata"].pop("annotations"),
        "PersistentVolumeClaim/postgres-data: argocd.argoproj.io/sync-options must say",
    ),
    "claim of another size": (
        lambda b: b.resize("6Gi"),
        "must have 5Gi, has 6Gi",
    ),
    "claim of no size": (
        lambda b: b.resize("big"),
        "has no legal size: 'big'",
    ),
    "object of a mebibyte": (
        lambda b: b.fill(1, 1024 * 1024),
        "ConfigMap/filler-0: has",
    ),
    "overlay of two mebibytes": (
        lambda b: b.fill(3, 700_000),
        "2 MiB at most",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_found(name: str) -> None:
    change, says = VIOLATIONS[name]
    built = Built()
    change(built)
    assert any(says in problem for problem in problems(built)), problems(built)


STOPPED = [State.SUSPENDED, State.DELETING]
MAKES_PODS: dict[str, Change] = {
    "Deployment/api": lambda b: None,
    "StatefulSet/x": lambda b: b.add("StatefulSet", "x", "apps/v1", spec={"replicas": 1}),
    "StatefulSet/y": lambda b: b.add("StatefulSet", "y", "apps/v1", spec={}),
    "Job/x": lambda b: b.add("Job", "x", "batch/v1", spec={}),
    "CronJob/x": lambda b: b.add("CronJob", "x", "batch/v1", spec={"suspend": False}),
    "CronJob/y": lambda b: b.add("CronJob", "y", "batch/v1", spec={}),
    "HorizontalPodAutoscaler/x": lambda b: b.add(
        "HorizontalPodAutoscaler", "x", "autoscaling/v2", spec={"minReplicas": 1}
    ),
    "Ingress/iotistic-ingress": lambda b: None,
}


@pytest.mark.parametrize("state", STOPPED)
@pytest.mark.parametrize("name", MAKES_PODS)
def test_what_should_be_stopped_may_not_run(state: State, name: str) -> None:
    built = Built()
    MAKES_PODS[name](built)
    found = problems(built, dataclasses.replace(EXPECTED, state=state))
    assert f"{name}: must not run or answer in the state {state.value}" in found


@pytest.mark.parametrize("state", STOPPED)
def test_what_is_stopped_may_stay(state: State) -> None:
    built = Built()
    built.add("CronJob", "x", "batch/v1", spec={"suspend": True})
    built.add("StatefulSet", "x", "apps/v1", spec={"replicas": 0})
    _set(built.api, 0, "spec", "replicas")
    found = problems(built, dataclasses.replace(EXPECTED, state=state))
    assert not [each for each in found if each.startswith(("CronJob", "StatefulSet"))]
    assert not [each for each in found if each.startswith("Deployment/api: must not run")]


def test_in_state_read_only_every_path_must_lead_to_what_refuses_writing() -> None:
    expected = dataclasses.replace(EXPECTED, state=State.READ_ONLY)
    built = Built()
    assert {each for each in problems(built, expected) if "read-only" in each} == {
        f"Ingress/iotistic-ingress: leads to '{name}' in the state read-only, not only to 'nginx' "
        "(the state's component must re-point every path)"
        for name in ("api", "grafana", "admin")
    }
    backend = {"service": {"name": "nginx", "port": {"number": 80}}}
    for path in built.rule["http"]["paths"]:
        path["backend"] = backend
    assert problems(built, expected) == []
    built["Ingress/"]["spec"]["defaultBackend"] = {"service": {"name": "api"}}
    assert any(
        "leads to 'api' in the state read-only" in each for each in problems(built, expected)
    )


def test_no_solver_counts_where_no_certificate_is_asked_for() -> None:
    built = Built()
    built.limit("services.nodeports", "0")
    built["Ingress/"]["metadata"]["annotations"] = {}
    assert problems(built) == []


def test_deletion_must_lift_the_protection() -> None:
    found = problems(Built(), dataclasses.replace(EXPECTED, state=State.DELETING))
    assert any("must not say Prune=false" in problem for problem in found)


def test_the_level_baseline_lets_in_what_restricted_does_not() -> None:
    def add(*names: str) -> list[str]:
        _set(built.container, list(names), "securityContext", "capabilities", "add")
        return problems(built)

    built = Built()
    assert add("CHOWN", "SETUID") == [
        "Deployment/api: capabilities ['CHOWN', 'SETUID'] are not allowed"
    ]
    assert add("NET_BIND_SERVICE") == []
    built["Namespace/"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline"
    assert add("CHOWN", "SETUID") == []
    assert add("CHOWN", "NET_ADMIN") == [
        "Deployment/api: capabilities ['NET_ADMIN'] are not allowed"
    ]
    _set(built.container, [], "securityContext", "capabilities", "add")
    _set(built.container, "Unconfined", "securityContext", "seccompProfile", "type")
    assert problems(built) == ["Deployment/api: a pod without seccomp is not allowed"]


def test_what_no_workload_lays_down_an_autoscaler_may() -> None:
    built = Built()
    target = {"kind": "Deployment", "name": "api"}
    scaler = {"scaleTargetRef": target, "maxReplicas": 2}
    built.add("HorizontalPodAutoscaler", "x", "autoscaling/v2", spec=scaler)
    built.api["spec"].pop("replicas")
    assert problems(built) == []


def test_a_certificate_of_its_own_host_is_the_tenant_s_affair() -> None:
    built = Built()
    named = {"dnsNames": [EXPECTED.host], "secretName": f"{EXPECTED.customer_id}-tls"}
    built.add("Certificate", "x", "cert-manager.io/v1", spec=named)
    assert problems(built) == []


def test_an_optional_reference_may_lead_nowhere() -> None:
    built = Built()
    reference = {"name": "nope", "key": "x", "optional": True}
    built.container["env"].append({"name": "X", "valueFrom": {"secretKeyRef": reference}})
    assert problems(built) == []


def test_misshapen_objects_are_problems_and_no_crash() -> None:
    built = Built()
    for body in built.objects:
        body["spec"] = ["not", "a", "mapping"]
    assert problems(built)


def test_vendors_are_told_which_kinds_are_allowed() -> None:
    page = (ROOT / "docs/your-product.md").read_text()
    _, _, told = page.partition("of these kinds: ")
    listed = set(re.findall(r"[A-Z]\w+", told.partition("Render a Helm chart")[0]))
    assert {kind for _, kind in ALLOWED_KINDS} - {"SealedSecret"} == listed  # of the overlay


def test_kinds_that_are_allowed_do_not_hold_secrets_or_rights() -> None:
    assert not {kind for _, kind in ALLOWED_KINDS} & {"Secret", "Role", "RoleBinding", "Pod"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", "0.25"), ("1", "1"), ("1Gi", "1073741824"), ("1.5", "1.5"), ("2k", "2000"),
        ("1Pi", "1125899906842624"), ("100u", "0.0001"), ("1e3", "1000"), ("12E", "12e18"),
        (".5Gi", "536870912"), ("+1", "1"), ("5.", "5"), ("1E-2", "0.01"),
    ],
)  # fmt: skip
def test_quantities_are_read(text: str, value: str) -> None:
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "1GB", "-1", "a", None, True, "1e", "1mi", "32MB", "."])
def test_what_is_no_quantity_is_none(text: Any) -> None:
    assert quantity(text) is None


@pytest.mark.parametrize(
    "text", ["", "AA==", "secret", "*" * 800, None, "A" * 1000, ciphertext("x")[:600]]
)
def test_what_is_no_ciphertext_is_told(text: Any) -> None:
    assert not is_ciphertext(text)

"""Argo CD as the service sees it: reads of its API, and the word that something was pushed."""

from tenantry.adapters.argocd.client import ArgoCD, ListedApplication, Refreshed
from tenantry.adapters.argocd.webhook import announce_push

__all__ = ["ArgoCD", "ListedApplication", "Refreshed", "announce_push"]

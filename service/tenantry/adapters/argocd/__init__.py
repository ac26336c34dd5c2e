"""Argo CD as the service sees it: its API, and the word that something was pushed."""

from tenantry.adapters.argocd.client import ArgoCD, Refreshed
from tenantry.adapters.argocd.listing import ListedApplication
from tenantry.adapters.argocd.stream import Arrival, Gone
from tenantry.adapters.argocd.webhook import announce_push

__all__ = ["ArgoCD", "Arrival", "Gone", "ListedApplication", "Refreshed", "announce_push"]

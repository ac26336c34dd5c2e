"""Development stand-in for Argo CD and a cluster: only as real as docs/stand-in.md says.

It is no part of production, and says so on every surface.
"""

from tenantry.devcluster.server import DevCluster
from tenantry.devcluster.settings import DevClusterSettings

__all__ = ["DevCluster", "DevClusterSettings"]

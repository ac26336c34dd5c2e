"""Random lives of one tenant, told to the service with losses, and judged by what was really so.

`cluster` and `argo` are the world, `oracle` says what may be told of it: none of them knows
`core.readiness`, `core.evidence` or `core.standing`. `watcher` is the service's part.
"""

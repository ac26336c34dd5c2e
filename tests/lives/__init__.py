"""A year in the lives of customers, followed by the service on a clock of its own, and judged by
what was told.

`oracle` says where a subscription stands, with an arithmetic of its own: it knows nothing of
`core.subscription`. `stories` are what customers, banks and operators do; `year` plays them.
"""

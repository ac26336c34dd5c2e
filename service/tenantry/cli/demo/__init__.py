"""`tenantry demo`: the whole product on one machine, and how days pass there in seconds."""

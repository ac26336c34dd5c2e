"""`tenantry …`: thin over flows."""

"""What is wanted of tenants becomes commits on main (R30): sealed, rendered, checked, pushed."""

"""Platform versions on main: put there once, never changed, taken away when nobody runs them."""

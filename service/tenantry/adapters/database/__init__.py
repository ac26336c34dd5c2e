"""The database: tables, sessions, migrations; SQLite and PostgreSQL from the same code."""

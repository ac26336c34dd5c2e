"""Server-rendered pages; all of them work without JavaScript."""

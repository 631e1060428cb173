"""PostgreSQL: connections, transactions, migrations, tables, and the embedded server."""

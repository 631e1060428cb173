"""The metadata of all tables, and constructors for their columns, foreign keys and indexes.

Keys, foreign keys and unique indexes start with `tenant_id`: it isolates tenants, and could be a sharding key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, ForeignKeyConstraint, Index, MetaData, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def tenant_table(name: str, *parts: SchemaItem, **options: Any) -> Table:
    """A table whose rows belong to a tenant: its primary key starts with `tenant_id`."""
    return Table(name, metadata, Column("tenant_id", Uuid, primary_key=True), *parts, **options)


def id_column() -> Column[UUID]:
    return Column("id", Uuid, primary_key=True)


def uuid(name: str, *, null: bool = True, **options: Any) -> Column[UUID]:
    return Column(name, Uuid, nullable=null, **options)


def string(name: str, *, null: bool = True, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=null, **options)


def sealed(name: str, sealed_as: str, *, owner: str = "id", null: bool = True) -> Column[str]:
    """Text with values encrypted by `KeyRing.seal`, for the id in the column `owner` and the name `sealed_as`.

    The columns made here are the list of everything that is encrypted (app/database/sealed.py).
    """
    return Column(name, Text, nullable=null, info={"sealed_as": sealed_as, "owner": owner})


def kid_index(name: str, column: str) -> Index:
    """An index of the key ids of a `sealed` column that holds one value in each row."""
    return Index(name, text(f"split_part({column}, '.', 2)"))


def hash_index(name: str, column: str) -> Index:
    """An index of texts that may be too long for one, by a hash."""
    return Index(name, "tenant_id", text(f"md5({column})"))


def instant(name: str, *, null: bool = True, **options: Any) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=null, **options)


def jsonb(name: str, *, null: bool = False, empty: str | None = "{}") -> Column[Any]:
    """A JSONB column; `empty` is the server default of one that is not nullable."""
    default = text(f"'{empty}'::jsonb") if empty is not None and not null else None
    return Column(name, JSONB, nullable=null, server_default=default)


def transaction_id(name: str, **options: Any) -> Column[int]:
    """The 64-bit id of the transaction that wrote the row."""
    default = text("pg_current_xact_id()::text::bigint")
    return Column(name, BigInteger, nullable=False, server_default=default, **options)


def version() -> Column[int]:
    return Column("version", BigInteger, nullable=False, server_default="1")


def timestamps() -> tuple[Column[datetime], Column[datetime]]:
    return instant("created_at", null=False), instant("updated_at", null=False)


def tenant_foreign_key(table: str, column: str) -> ForeignKeyConstraint:
    """A foreign key that cannot cross tenants: (tenant_id, column) → (tenant_id, id)."""
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"])


def list_indexes(table: str, *columns: str) -> list[Index]:
    """One index for keyset pagination by each of the columns."""
    return [Index(f"{table}_{column}_idx", "tenant_id", column, "id") for column in columns]


def filter_indexes(table: str, **columns: str) -> list[Index]:
    """For lists filtered by each of the columns, newest first; the value is the index's condition, if it has one."""
    return [
        Index(f"{table}_by_{column}_idx", "tenant_id", column, "created_at", "id", postgresql_where=where or None)
        for column, where in columns.items()
    ]


def member_index(name: str, column: str, member: str, *order: str) -> Index:
    """For lists filtered by a short member of a JSONB column, in this order."""
    return Index(name, "tenant_id", text(f"({column} ->> '{member}')"), *order)


def member_indexes(table: str, member: str, *columns: str) -> list[Index]:
    """For lists filtered by the hash of a member of each of these JSONB columns, newest first. Members may be long."""
    return [
        Index(
            f"{table}_{column}_{member}_hash_idx",
            "tenant_id",
            text(f"md5({column} ->> '{member}')"),
            "created_at",
            "id",
        )
        for column in columns
    ]


def email_domain_index(table: str, column: str, where: str) -> Index:
    """For rows with an e-mail address of a domain."""
    domain = text(f"split_part({column}, '@', 2)")
    return Index(f"{table}_email_domain_idx", "tenant_id", domain, postgresql_where=where)


def due_index(table: str, column: str) -> Index:
    """For rows that are due at an instant; null: at once."""
    return Index(f"{table}_{column}_idx", text(f"coalesce({column}, '-infinity')"), "id")


def record_indexes(table: str, *columns: str) -> list[Index]:
    """For lists of live records, newest first, of all and by each of the columns; and for the list of archived ones."""
    live, archived = "archived_at IS NULL", "archived_at IS NOT NULL"
    return [
        Index(f"{table}_live_idx", "tenant_id", "created_at", "id", postgresql_where=live),
        Index(f"{table}_archived_idx", "tenant_id", "created_at", "id", postgresql_where=archived),
        *(
            Index(f"{table}_live_{column}_idx", "tenant_id", column, "created_at", "id", postgresql_where=live)
            for column in columns
        ),
    ]

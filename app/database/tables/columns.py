"""The metadata all tables share, and the few kinds of column they are made of.

Every key, foreign key and unique index starts with `tenant_id`: isolation today, the distribution column tomorrow.
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


def table(name: str, *parts: SchemaItem, **options: Any) -> Table:
    """A table of which every row has an owner: its key begins with `tenant_id`."""
    return Table(name, metadata, Column("tenant_id", Uuid, primary_key=True), *parts, **options)


def own_id() -> Column[UUID]:
    return Column("id", Uuid, primary_key=True)


def uuid(name: str, *, null: bool = True, **options: Any) -> Column[UUID]:
    return Column(name, Uuid, nullable=null, **options)


def words(name: str, *, null: bool = True, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=null, **options)


def instant(name: str, *, null: bool = True, **options: Any) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=null, **options)


def document(name: str, *, null: bool = False, empty: str | None = "{}") -> Column[Any]:
    """A JSONB column; `empty` is the value of a row that says nothing."""
    default = text(f"'{empty}'::jsonb") if empty is not None and not null else None
    return Column(name, JSONB, nullable=null, server_default=default)


def version() -> Column[int]:
    return Column("version", BigInteger, nullable=False, server_default="1")


def stamps() -> tuple[Column[datetime], Column[datetime]]:
    return instant("created_at", null=False), instant("updated_at", null=False)


def of_tenant(table: str, column: str) -> ForeignKeyConstraint:
    """A foreign key that cannot cross tenants: (tenant_id, column) → (tenant_id, id)."""
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"])


def lists(table: str, *columns: str) -> list[Index]:
    """One keyset index for each order a list can be read in."""
    return [Index(f"{table}_{column}_idx", "tenant_id", column, "id") for column in columns]

"""The SQLSTATE of an error, and its class: a fault of the data, a conflict, or a failure of the database."""

from __future__ import annotations

from typing import Final

# The whole transaction is run again: deadlock, serialization failure, a statement prepared before a migration.
RETRIED: Final = ("40P01", "40001", "0A000")
CANCELED: Final = "57014"  # of a statement, for its length
# Another transaction blocked this one, or it took too long: it may succeed at another time.
CONTENDED: Final = (*RETRIED, "55P03", CANCELED, "25P03", "25P04")
# What is stored or asked is wrong in itself: cardinality, data, integrity, WITH CHECK OPTION, a limit of the program.
OF_DATA: Final = ("21", "22", "23", "44", "54")
# Nothing can be done on this database now: connection, login, resources (disk, memory, connections), operator, system,
# no such database, read-only or in recovery.
AWAY: Final = ("08", "28", "53", "57", "58", "3D000", "25006")
# The database failed, perhaps only for this statement: internal errors, corruption, rights (or a read-only disk).
UNAVAILABLE: Final = (*AWAY, "XX", "42501", *CONTENDED)
DISK_FULL: Final = "53100"
# Of a file that cannot grow for another reason than ENOSPC, such as a quota: its state is only "internal error".
DISK_HINT: Final = "Check free disk space"


def sqlstate(error: BaseException | None) -> str:
    """The SQLSTATE of an error of the driver or of SQLAlchemy, or an empty string."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def constraint(error: BaseException) -> str:
    """The name of the violated constraint, or an empty string."""
    return str(getattr(getattr(error, "orig", error), "constraint_name", None) or "")


def is_disk_full(error: BaseException) -> bool:
    """Whether the database could not write for want of disk space."""
    return sqlstate(error) == DISK_FULL or DISK_HINT in str(getattr(error, "orig", error))

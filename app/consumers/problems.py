"""Problems of consumers alone; those of several features are in app/errors.py."""

from app.errors import NotFound
from app.problem import Conflict


class ConsumerNotFound(NotFound):
    """There is no consumer of this name."""


class ConsumerLimitReached(Conflict):
    """The tenant has as many consumers as it may have: delete one that is not used."""


class FiltersFixed(Conflict):
    """The filters of a consumer cannot be changed: its place is one of what they let through. Make another one."""


class AlreadyAcknowledged(Conflict):
    """The consumer stands after this place, and an acknowledgement goes forward only: to read again, PUT `seek`."""

"""Tracks which members of a body the mapping has read."""

from __future__ import annotations

from typing import Any


class ReadTracker:
    """Records reads by id() of the object read from, and keeps a reference to it, so that no id() is reused."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[object, set[str]]] = {}
        self.enabled = True

    def record(self, container: object, key: str) -> None:
        """Records that this member of this object was read."""
        if not self.enabled:
            return
        known = self._read.get(id(container))
        if known is None:
            self._read[id(container)] = (container, {key})
        else:
            known[1].add(key)

    def has_read(self, container: object, key: str) -> bool:
        """Whether this member of this object was read."""
        return key in self._read.get(id(container), (None, ()))[1]

    def rest(self, value: Any) -> Any:
        """The members of an object that were not read, without empty values; None when there are none.

        Of a member that was itself read in parts, the unread parts are included.
        """
        if not isinstance(value, dict):
            return None
        kept: dict[str, Any] = {}
        for key, member in value.items():
            unread = self._rest_of_read(member) if self.has_read(value, key) else member
            if unread not in (None, "", [], {}):
                kept[key] = unread
        return kept or None

    def unread(self, value: Any) -> Any:
        """The value without the members that were read, empty ones kept; of a member read in parts the unread parts."""
        if isinstance(value, list):
            return [self.unread(element) for element in value]
        if not isinstance(value, dict):
            return value
        left = {key: member for key, member in value.items() if not self._has_read_whole(value, key)}
        return {key: self.unread(member) for key, member in left.items()}

    def _has_read_whole(self, container: dict[str, Any], key: str) -> bool:
        return self.has_read(container, key) and id(container[key]) not in self._read

    def _rest_of_read(self, member: Any) -> Any:
        if isinstance(member, dict):
            return self.rest(member) if id(member) in self._read else None
        if isinstance(member, list) and any(id(element) in self._read for element in member):
            return [unread for element in member if (unread := self.rest(element))]
        return None

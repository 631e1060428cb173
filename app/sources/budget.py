"""What a mapping may cost: the steps of its evaluation, and the size of each value that an expression makes.

A mapping is a program written by a tenant, and it reads what any sender may have sent. One budget covers all
expressions of a submission. Values share their parts, so that `[@,@]` is cheap to make; reading it later costs time
for every repetition. Therefore a size counts each part as often as it occurs, and nothing larger than `limit` is ever
made.
"""

from __future__ import annotations

from typing import Any, Final

MIN_STEPS: Final = 100_000
STEPS_PER_BYTE: Final = 200
MAX_STEPS: Final = 1_000_000  # about half a second
# What is evaluated on the event loop; a mapping that needs more runs in a thread, so that other requests are served.
QUICK_STEPS: Final = 20_000
MIN_SIZE: Final = 64 * 1024
SIZE_PER_BYTE: Final = 4
MAX_DEPTH: Final = 128  # the JSON writer refuses more than 254
CHARACTERS_PER_STEP: Final = 16
MEMBERS_PER_STEP: Final = 16  # of a value that is measured
_VALUE_SIZE: Final = 4
# As constants: `list | dict` would be built anew for each test.
_CONTAINERS: Final = (list, dict)
_MEASURED: Final = (str, list, dict)
# Sizes are cached for large values only, and for at most so many that the cache stays small.
_REMEMBERED_SIZE: Final = 64
_MAX_REMEMBERED: Final = 50_000


class TooCostly(Exception):
    """The expressions of a mapping took too many steps, or would have made too large a value. `place` names the
    expression in the document."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = ""


class Budget:
    """The steps that are left, and the limit for one value, for a request whose body has `received` bytes."""

    def __init__(self, received: int, max_steps: int = MAX_STEPS) -> None:
        self.steps = min(max_steps, MIN_STEPS + STEPS_PER_BYTE * received)
        self.limit = MIN_SIZE + SIZE_PER_BYTE * received
        # (value, size, depth) by id(): the reference kept to the value prevents reuse of its id().
        self._sizes: dict[int, tuple[object, int, int]] = {}

    @property
    def is_spent(self) -> bool:
        """Whether no steps are left."""
        return self.steps < 0

    def spend(self, steps: int) -> None:
        """Takes steps from the budget. Raises TooCostly when there are not enough."""
        self.steps -= steps
        if self.steps < 0:
            raise TooCostly("the mapping takes too many steps for a submission of this size")

    def read(self, value: object) -> None:
        """Charges for reading a value with all its parts. Raises TooCostly when there are not enough steps."""
        if isinstance(value, str):
            self.spend(len(value) // CHARACTERS_PER_STEP)
        elif isinstance(value, _CONTAINERS):
            self.spend(1 + self.size(value) // CHARACTERS_PER_STEP)

    def check(self, size: int) -> None:
        """Raises TooCostly when a value of this size may not be made. Called before it is made."""
        if size > self.limit:
            raise TooCostly(f"makes a value larger than {self.limit} characters")

    def made(self, value: Any) -> Any:
        """The value, which an expression has made. Raises TooCostly when it is too large or nested too deeply."""
        if isinstance(value, _MEASURED):
            self.check(self.size(value))
        return value

    def size(self, value: object) -> int:
        """The size of a value as if nothing in it were shared, in characters.

        Raises TooCostly above the limit, and when there are not enough steps to measure it.
        """
        return self._measure(value, 0)[0] if isinstance(value, _CONTAINERS) else _leaf_size(value)

    def _measure(self, value: list[Any] | dict[Any, Any], above: int) -> tuple[int, int]:
        """Size and depth of a list or object that is nested `above` levels deep."""
        known = self._sizes.get(id(value))
        size, depth = known[1:] if known else self._measure_members(value, above)
        if above + depth > MAX_DEPTH:
            raise TooCostly(f"makes a value nested more than {MAX_DEPTH} levels deep")
        return size, depth

    def _measure_members(self, value: list[Any] | dict[Any, Any], above: int) -> tuple[int, int]:
        if above >= MAX_DEPTH:
            raise TooCostly(f"makes a value nested more than {MAX_DEPTH} levels deep")
        self.spend(len(value) // MEMBERS_PER_STEP)
        size, depth = _VALUE_SIZE, 0
        if isinstance(value, dict):
            size += sum(map(len, value))
        for member in value.values() if isinstance(value, dict) else value:
            if isinstance(member, _CONTAINERS):
                member_size, member_depth = self._measure(member, above + 1)
                size, depth = size + member_size, max(depth, member_depth)
                self.check(size)
            else:
                size += _leaf_size(member)
        self.check(size)
        if size >= _REMEMBERED_SIZE and len(self._sizes) < _MAX_REMEMBERED:
            self._sizes[id(value)] = value, size, depth + 1
        return size, depth + 1


def _leaf_size(value: object) -> int:
    return _VALUE_SIZE + len(value) if isinstance(value, str) else _VALUE_SIZE

"""The names of the users, for a key that may read them."""

from __future__ import annotations

from typing import Final

from app.console.api import Api

MOST: Final = 200


async def names_of_users(api: Api) -> dict[str, str]:
    """The name of each user by id; nothing where the key may not read users. The newest MOST have one."""
    answer = await api.get("/v1/users", limit=MOST)
    return {user["id"]: user["name"] for user in answer.rows}

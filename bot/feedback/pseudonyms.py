"""The names under which people and pictures stand in an export."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache


class Pseudonyms:
    """Each is 16 hexadecimal digits, the same in every export; only with the secret one goes back from it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        # An export has many rows of each person.
        self._user = lru_cache(maxsize=50_000)(lambda user_id: self._hide(str(user_id)))

    def user(self, user_id: int) -> str:
        """Who gave a mark or a correction."""
        return self._user(user_id)

    def sender(self, telegram_id: int) -> str:
        """The pseudonym under which the sender of a picture is known (see Sending)."""
        return self._hide(f"sender {telegram_id}")

    def picture(self, sha256: str) -> str:
        """A picture, by the digest of its file."""
        return self._hide(f"picture {sha256}")

    def _hide(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()[:16]

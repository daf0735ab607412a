"""The names under which people and pictures stand in an export."""

from __future__ import annotations

import hashlib
import hmac


class Pseudonyms:
    """Each is 16 hexadecimal digits, the same in every export; only with the secret one goes back from it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def user(self, user_id: int) -> str:
        """Who gave a mark or a correction."""
        return self._hide(str(user_id))

    def sender(self, telegram_id: int) -> str:
        """The pseudonym under which the sender of a picture is known (see Sending)."""
        return self._hide(f"sender {telegram_id}")

    def picture(self, sha256: str) -> str:
        """A picture, by the digest of its file."""
        return self._hide(f"picture {sha256}")

    def _hide(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()[:16]

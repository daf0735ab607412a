"""Who may look: whoever knows the password, for half a day."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

SESSION = 12 * 3600.0  # seconds
TRIES = 5  # wrong passwords, all callers together: behind a proxy they look alike
REFILL = 20.0  # seconds until there is one more
_MOST = 100  # sessions at once; the oldest ends


class Door:
    """Checks passwords, and remembers whom it let in. Of both only digests are kept."""

    def __init__(self, password: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._password = _digest(password)
        self._clock = clock
        self._until: dict[bytes, float] = {}
        self._tries, self._counted = float(TRIES), clock()

    def wait(self) -> float:
        """Seconds until a password may be tried; 0: now."""
        now = self._clock()
        self._tries = min(TRIES, self._tries + (now - self._counted) / REFILL)
        self._counted = now
        return 0.0 if self._tries >= 1 else (1 - self._tries) * REFILL

    def enter(self, password: str) -> str | None:
        """The name of a new session; None: that is not the password. Whoever must wait is not let in."""
        if self.wait():
            return None
        if not hmac.compare_digest(_digest(password), self._password):
            self._tries -= 1
            return None
        session = secrets.token_urlsafe(32)
        now = self._clock()
        living = {name: until for name, until in self._until.items() if until > now}
        self._until = dict(list(living.items())[-(_MOST - 1) :]) | {_digest(session): now + SESSION}
        return session

    def knows(self, session: str) -> bool:
        """Whether it was let in, and not too long ago."""
        return self._until.get(_digest(session), 0.0) > self._clock()

    def leave(self, session: str) -> None:
        """Let it in no more."""
        self._until.pop(_digest(session), None)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()

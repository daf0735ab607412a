"""Numbers of Telegram's that are no person's.

Where nobody says who writes, Telegram names one account for everybody: each anonymous administrator of each
group is the user 1087968824. Such an account is no person. What it writes is the business of the chat in
which it stands, and of no other: it is the chat that asks, waits and has limits, and it owns nothing that
could be chosen, allowed or erased.
"""

from __future__ import annotations

import re

SERVICE_ACCOUNTS = {
    777000: "Telegram itself, which brings a channel's posts to its discussion group",
    1087968824: "every anonymous administrator of every group",
    136817688: "everybody who writes in the name of a channel",
}


def is_person(telegram_id: int) -> bool:
    """Whether this is the number of a person (or of a bot), not of a chat or an account of Telegram's own."""
    return telegram_id > 0 and telegram_id not in SERVICE_ACCOUNTS


def telegram_number(text: str) -> int | None:
    """The number of a person or, negative, of a chat that a person typed; None: it is none."""
    if not re.fullmatch(r"-?[1-9]\d{0,18}", text.strip()):
        return None
    number = int(text)
    return number if abs(number) < 2**63 else None

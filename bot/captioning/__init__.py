"""Takes a picture from "received" to "answered".

A job row is written first, so an accepted picture survives ``kill -9``; :meth:`Captioning.resume` finishes
at the next start what was left. The reply goes out once: the row says when a reply is about to be sent. A
process killed between that moment and Telegram's answer leaves the outcome unknown; the next start then
neither repeats the caption nor drops it, but sends a short note with a button that shows it. While the
process lives, a request whose outcome is unknown (the connection broke) is repeated: a caption twice is
better than none.

While a file cannot be fetched, its picture holds back nobody: it leaves its place in the work, is tried again
for as long as a reply would be, and the chat is told once that it takes longer. Of what was fetched no more
is in memory than PICTURE_MEMORY_MB.

While the database cannot be used (a full disk, a server that is away), it is asked again until it can be;
people are told once that it takes longer.
"""

from bot.captioning.captioning import Captioning
from bot.captioning.queue import QueueFull

__all__ = ["Captioning", "QueueFull"]

"""One file that holds a whole store: the database and the kept pictures, as they were at one moment.

A tar, in this order: ``pictures/...`` (each under the path that its row names), ``bot.db.gz`` (SQLite's
file), ``erased.jsonl`` (who was erased until the file was whole; see bot.feedback.tombstones) and
``manifest.json``, with which it ends: what was cut off has none.

What was restored may have been answered since the backup. Nobody knows whether such an answer came, so it is
treated as every answer that may have gone out: a note with a button comes instead of a second description.
"""

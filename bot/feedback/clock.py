"""The database's own clock. What one replica writes another one reads, and their clocks differ."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Float, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from bot.feedback.tables import UTCDateTime


class ago(FunctionElement[datetime]):  # noqa: N801 - stands in statements, as SQL's own functions do
    """The moment so many ``seconds`` before the database's present."""

    type = UTCDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | BindParameter[float] = 0.0) -> None:
        super().__init__(seconds if isinstance(seconds, BindParameter) else literal(seconds, Float))


@compiles(ago, "postgresql")
def _on_postgresql(element: ago, compiler: SQLCompiler, **options: Any) -> str:
    # Not now(), which is when the transaction began: it may have waited for a row since.
    return f"(clock_timestamp() - make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(ago, "sqlite")
def _on_sqlite(element: ago, compiler: SQLCompiler, **options: Any) -> str:
    # As SQLAlchemy writes moments, with six digits of a second: they are compared as texts.
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || {seconds} || ' seconds')"


class today(FunctionElement[str]):  # noqa: N801 - as above
    """The database's present day in UTC, as 2026-01-31."""

    type = String(10)
    inherit_cache = True


@compiles(today, "postgresql")
def _day_on_postgresql(element: today, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001
    return "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


@compiles(today, "sqlite")
def _day_on_sqlite(element: today, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001
    return "date('now')"

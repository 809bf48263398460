"""Bindings, the pool of X and CDRs for people and programs that take their time: SQLAlchemy Core, synchronous.

Provisioning interface sections 2 to 4 and the result codes of 8.5. The command line and the control plane call it, from
any thread; the call path has its own statements (sqlite.py) over the same tables. Every change is one transaction
that holds the write lock from its first look-up, so that a rule checked is a rule kept. Numbers are E.164 with a `+`.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import structs
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    LargeBinary,
    Row,
    Select,
    and_,
    cast,
    create_engine,
    delete,
    event,
    false,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from softswitch.errors import BindingConflict, StoreError
from softswitch.interfaces import App, Binding, Cdr, Mode, PrivateNumber, TemporaryCallee
from softswitch.stores import rules
from softswitch.stores.rows import (
    alive,
    all_equal,
    binding_of,
    bindings_query,
    cdr_or_words,
    insert_binding,
    number_of,
    numbers_query,
    private_number,
    remove,
)
from softswitch.stores.rules import BindingOptions
from softswitch.stores.schema import apps, binding_parties, bindings, cdrs, numbers, temporary_callees
from softswitch.stores.sqlite import ensure_schema

AX_LIMIT = 5  # X that one A may own (3.1)
DEFAULT_PAGE_SIZE = 50
NAMED = 3  # bindings in the words of a refusal
BUSY_TIMEOUT_S = 10.0

# What an unbind or a look-up answers where there is nothing (2.2, 3.2, 4.2).
_GONE = {Mode.AXB: "1012001", Mode.AX: "1011004", Mode.AXE: "1016001"}

_T = TypeVar("_T")


class Page(NamedTuple, Generic[_T]):
    """One page of a listing, and how many there are in all."""

    items: Sequence[_T]
    total: int


class CdrPage(NamedTuple):
    """One page of CDRs, how many there are in all, and in words what can't be read of the page."""

    items: Sequence[Cdr]
    total: int
    unreadable: Sequence[str]


def open_provisioning(path: str) -> Provisioning:
    """Open the SQLite file `path` for provisioning, creating or migrating it where needed; raises StoreError."""
    ensure_schema(path)
    return Provisioning(sqlite_engine(path))


def sqlite_engine(path: str) -> Engine:
    """An engine whose transactions are SQLite's own: writers take the lock at BEGIN, readers none."""
    engine = create_engine(URL.create("sqlite", database=path), connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class Provisioning:
    """All that is done to the store outside calls. Raises BindingConflict for a broken rule, StoreError else."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._engine = engine
        self._writers = engine.execution_options(writes=True)
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._new_id = new_id

    def close(self) -> None:
        """Release the database; idempotent."""
        self._engine.dispose()

    # The pool of X

    def add_number(self, x: str, app: App, *, area_code: str = "", city: str = "") -> PrivateNumber:
        """Put X into the pool of `app`, making the app where it is new. Again with the same app: updates the city.

        1010040 where the app exists with another mode or digit count, 1012010 where X is another app's, or somebody's
        real number: calls to that would come back to us.
        """
        rules.check_number("x", x)
        rules.check_app(app)
        with self._transaction() as connection:
            app = _ensure_app(connection, app)
            known = private_number(connection, x)
            if known is not None and known.app.key != app.key:
                raise BindingConflict("1012010", f"{x} belongs to app {known.app.key}")
            if known is None:
                real = and_(or_(bindings.c.a == x, bindings.c.b == x), alive(self._clock()))
                found = connection.execute(select(bindings.c.id).where(real).limit(NAMED)).scalars()
                rules.check_unbound(x, found.all())
            connection.execute(delete(numbers).where(numbers.c.x == x))
            connection.execute(insert(numbers).values(x=x, app_key=app.key, area_code=area_code, city=city))
        return PrivateNumber(x, app, area_code, city)

    def list_numbers(
        self, *, app_key: str | None = None, page: int = 1, page_size: int = DEFAULT_PAGE_SIZE
    ) -> Page[PrivateNumber]:
        """The pool, by number."""
        condition = all_equal((numbers.c.app_key, app_key))
        query = numbers_query().where(condition).order_by(numbers.c.x)
        return self._page(query, select(func.count()).select_from(numbers).where(condition), number_of, page, page_size)

    # Bindings

    def bind_axb(
        self, x: str, a: str, b: str, options: BindingOptions | None = None, *, app_key: str | None = None
    ) -> Binding:
        """Bind A and B on X (2.1). 1012010 where X holds one of them already, 1012001 where X is not the app's."""
        rules.check_number("a", a)
        rules.check_number("b", b)
        if a == b:
            raise BindingConflict("1012010", f"The relation number has been bound: A and B are the same number, {a}")
        with self._transaction() as connection:
            app = _owned(connection, x, app_key, Mode.AXB, a, b)
            in_the_way = and_(binding_parties.c.x == x, binding_parties.c.party.in_((a, b)))
            query = bindings_query().join(binding_parties, binding_parties.c.seq == bindings.c.seq).where(in_the_way)
            if self._living(connection, query):
                raise BindingConflict("1012010", f"The relation number has been bound: {x} holds {a} or {b}")
            return self._bind(connection, app, options, mode=Mode.AXB, x=x, a=a, b=b)

    def bind_ax(self, x: str, a: str, options: BindingOptions | None = None, *, app_key: str | None = None) -> Binding:
        """Bind X to A (3.1). 1011005 X is another's, 1016002 the same pair again, 1011003 A has 5 X already."""
        rules.check_number("a", a)
        with self._transaction() as connection:
            app = _owned(connection, x, app_key, Mode.AX, a)
            of_x = and_(bindings.c.x == x, bindings.c.mode == Mode.AX)
            for other in self._living(connection, bindings_query().where(of_x)):
                if other.a == a:
                    raise BindingConflict("1016002", f"The record already exists: {x} is bound to {a}")
                raise BindingConflict("1011005", f"Resources have been allocated: {x} is bound to another number")
            of_a = and_(bindings.c.a == a, bindings.c.mode == Mode.AX)
            if len(self._living(connection, bindings_query().where(of_a))) >= AX_LIMIT:
                raise BindingConflict("1011003", f"Exceeded the upper limit of resources: {a} has {AX_LIMIT} X")
            return self._bind(connection, app, options, mode=Mode.AX, x=x, a=a)

    def bind_axe(
        self,
        x: str,
        a: str,
        extension: str | None = None,
        options: BindingOptions | None = None,
        *,
        app_key: str | None = None,
    ) -> Binding:
        """Bind A to extension E of X (4.1), a random free one where none is named. 1020167: E, or every E, is taken."""
        rules.check_number("a", a)
        rules.check_another(a, options.callback_number if options else None)
        with self._transaction() as connection:
            app = _owned(connection, x, app_key, Mode.AXE, a, (options.callback_number if options else None) or a)
            extension = self._free_extension(connection, app, x) if extension is None else extension
            rules.check_extension(app, extension)
            taken = and_(bindings.c.x == x, bindings.c.extension == extension)
            if self._living(connection, bindings_query().where(taken)):
                raise BindingConflict("1020167", f"No idle extend Number: {extension} of {x} is taken")
            return self._bind(connection, app, options, mode=Mode.AXE, x=x, a=a, extension=extension)

    def unbind(
        self,
        *,
        binding_id: str | None = None,
        x: str | None = None,
        extension: str | None = None,
        app_key: str | None = None,
    ) -> list[Binding]:
        """Remove one binding by id (which wins), or all of X, or the one of X and E; returns what was removed.

        Raises the mode's "no such binding" code (1012001, 1011004, 1016001) where nothing was.
        """
        if binding_id is None and x is None:
            raise rules.invalid("binding id or x is needed")
        if binding_id is not None:
            x = extension = None
        with self._transaction() as connection:
            query = bindings_query().where(
                all_equal(
                    (bindings.c.id, binding_id),
                    (bindings.c.x, x),
                    (bindings.c.extension, extension),
                    (bindings.c.app_key, app_key),
                )
            )
            removed = self._living(connection, query)
            remove(connection, removed)
            if not removed:
                raise _nothing_bound(connection, binding_id, x, extension)
        return [binding_of(row) for row in removed]

    def bindings(
        self,
        *,
        binding_id: str | None = None,
        app_key: str | None = None,
        mode: Mode | None = None,
        x: str | None = None,
        a: str | None = None,
        b: str | None = None,
        extension: str | None = None,
        party: str | None = None,
        page: int = 1,
        page_size: int = DEFAULT_PAGE_SIZE,
    ) -> Page[Binding]:
        """Living bindings in the order they were made; `party` is A or B. Pages count from 1."""
        columns = bindings.c
        condition = and_(
            all_equal(
                (columns.id, binding_id),
                (columns.app_key, app_key),
                (columns.mode, mode),
                (columns.x, x),
                (columns.a, a),
                (columns.b, b),
                (columns.extension, extension),
            ),
            alive(self._clock()),
            *([] if party is None else [or_(columns.a == party, columns.b == party)]),
        )
        query = bindings_query().where(condition).order_by(columns.seq)
        counted = select(func.count()).select_from(bindings).where(condition)
        return self._page(query, counted, binding_of, page, page_size)

    def set_callee(
        self,
        callee: str,
        *,
        binding_id: str | None = None,
        x: str | None = None,
        duration_s: int = 60,
        user_data: str = "",
        app_key: str | None = None,
    ) -> TemporaryCallee:
        """Whom the next call of A to X reaches (3.5), in the place of any set before. The id wins over X.

        1011004 where there is no such AX binding.
        """
        rules.check_callee(callee, duration_s, user_data)
        if binding_id is None and x is None:
            raise rules.invalid("binding id or x is needed")
        key = (bindings.c.id, binding_id) if binding_id is not None else (bindings.c.x, x)
        with self._transaction() as connection:
            query = bindings_query().where(all_equal(key, (bindings.c.mode, Mode.AX), (bindings.c.app_key, app_key)))
            found = self._living(connection, query)
            if not found:
                raise BindingConflict(_GONE[Mode.AX], f"no AX binding {binding_id or x}")
            _all_real(connection, callee)
            rules.check_another(found[0].a, callee)
            record = TemporaryCallee(found[0].id, callee, self._clock() + duration_s, user_data)
            table = temporary_callees
            connection.execute(delete(table).where(table.c.binding_id == record.binding_id))
            connection.execute(insert(table).values(structs.asdict(record)))
        return record

    # CDRs

    def cdrs(
        self,
        *,
        call_id: str | None = None,
        x: str | None = None,
        caller: str | None = None,
        callee: str | None = None,
        mode: Mode | None = None,
        app_key: str | None = None,
        failure: int | None = None,
        since: float | None = None,
        until: float | None = None,
        finished: bool | None = True,
        page: int = 1,
        page_size: int = DEFAULT_PAGE_SIZE,
    ) -> CdrPage:
        """CDRs, newest first. `since` and `until` are UTC epoch seconds of the call's begin; `finished=None`: all."""
        columns = cdrs.c
        condition = all_equal(
            (columns.call_id, call_id),
            (columns.x, x),
            (columns.caller, caller),
            (columns.callee, callee),
            (columns.mode, mode),
            (columns.app, app_key),
            (columns.failure, failure),
        )
        if since is not None:
            condition = and_(condition, columns.started_at >= since)
        if until is not None:
            condition = and_(condition, columns.started_at < until)
        counted = select(func.count()).select_from(cdrs).where(condition)
        if finished is not None:
            # There are few that are not, and an index of them: to count the others by themselves would read all rows.
            others = counted.where(columns.finished == (false() if finished else true()))  # as the index has it
            counted = select(counted.scalar_subquery() - others.scalar_subquery())
            condition = and_(condition, columns.finished.is_(finished))
        # sqlite3 gives up all rows for one whose text is no UTF-8.
        record = cast(columns.record, LargeBinary).label("record")
        query = select(columns.call_id, record).where(condition).order_by(columns.started_at.desc(), columns.call_id)
        found = self._page(query, counted, lambda row: cdr_or_words(row.call_id, row.record), page, page_size)
        readable = [cdr for cdr in found.items if isinstance(cdr, Cdr)]
        return CdrPage(readable, found.total, [words for words in found.items if isinstance(words, str)])

    # Transactions and what they are made of

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _store_errors(), self._writers.begin() as connection:
            yield connection

    def _page(
        self,
        query: Select[Any],
        counted: Select[Any],
        build: Callable[[Row[Any]], _T],
        page: int,
        page_size: int,
    ) -> Page[_T]:
        if page < 1 or page_size < 1:
            raise rules.invalid("pages count from 1 and have at least one entry")
        with _store_errors(), self._engine.connect() as connection:
            rows = connection.execute(query.limit(page_size).offset((page - 1) * page_size)).all()
            return Page([build(row) for row in rows], connection.execute(counted).scalar_one())

    def _living(self, connection: Connection, query: Select[Any]) -> list[Row[Any]]:
        """The bindings that `query` finds. Expired ones are removed instead: they are never in anyone's way."""
        now = self._clock()
        rows = connection.execute(query).all()
        remove(connection, [row for row in rows if row.expires_at is not None and row.expires_at <= now])
        return [row for row in rows if row.expires_at is None or row.expires_at > now]

    def _free_extension(self, connection: Connection, app: App, x: str) -> str:
        """A random one, so that an extension just given up is not the next to be given out."""
        query = select(bindings.c.extension).where(bindings.c.x == x, alive(self._clock()))
        taken = {int(row.extension) for row in connection.execute(query)}
        free = [number for number in rules.all_extensions(app) if number not in taken]
        if not free:
            raise BindingConflict("1020167", f"No idle extend Number: all extensions of {x} are taken")
        return str(self._rng.choice(free)).zfill(app.extension_digits)

    def _bind(
        self,
        connection: Connection,
        app: App,
        options: BindingOptions | None,
        *,
        mode: Mode,
        x: str,
        a: str,
        b: str | None = None,
        extension: str | None = None,
    ) -> Binding:
        options = options or BindingOptions()
        rules.check_options(app, options)
        settings = asdict(options)
        duration_s = settings.pop("duration_s")
        now = self._clock()
        binding = Binding(
            id=self._new_id(),
            app_key=app.key,
            mode=mode,
            x=x,
            a=a,
            b=b,
            extension=extension,
            created_at=now,
            expires_at=now + duration_s if duration_s else None,
            **settings,
        )
        insert_binding(connection, binding)
        return binding


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(str(error.__cause__ or error)) from error
    except OverflowError as error:
        raise rules.invalid("a number is too large") from error


def _ensure_app(connection: Connection, app: App) -> App:
    row = connection.execute(select(apps).where(apps.c.key == app.key)).one_or_none()
    if row is None:
        connection.execute(insert(apps).values(structs.asdict(app)))
        return app
    known = App(row.key, Mode(row.mode), row.extension_digits, row.recording)
    if known.mode is not app.mode or (app.mode is Mode.AXE and known.extension_digits != app.extension_digits):
        raise rules.another_kind(known)
    connection.execute(update(apps).where(apps.c.key == app.key).values(recording=app.recording))
    return app


def _owned(connection: Connection, x: str, app_key: str | None, mode: Mode, *parties: str) -> App:
    _all_real(connection, *parties)
    return rules.check_ownership(private_number(connection, x), x, app_key, mode).app


def _all_real(connection: Connection, *parties: str) -> None:
    rules.check_real(connection.execute(select(numbers.c.x).where(numbers.c.x.in_(parties))).scalar())


def _nothing_bound(connection: Connection, binding_id: str | None, x: str | None, e: str | None) -> BindingConflict:
    if x is None:
        return BindingConflict("1016001", f"no binding {binding_id!r}")
    number = private_number(connection, x)
    code = "1016001" if number is None else _GONE[number.app.mode]
    return BindingConflict(code, f"no binding {x}" if e is None else f"no binding {x}, extension {e!r}")

"""Pickles read as data: nothing that is written in them is imported, called or built.

A pickle is a program for a small stack machine. Here its instructions are followed by a machine of our own
that knows only data: numbers, texts, lists, tables, and the records by which torch stores tensors. An object
of a class becomes a :class:`Record` of its attributes, the class itself is only a name. Whatever a pickle
asks to be called is refused, but for a short list of constructors that are imitated here.

So a whole pickled module (``torch.save(model)``), a TorchScript archive or a pickled vocabulary can be read
without the code they were written with, on any machine, whoever made them. The format is documented in
Python's ``pickletools``, torch's in ``torch/serialization.py``.
"""

from __future__ import annotations

import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file that torch wrote before version 1.6
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_MODULE_DEPTH = 100


class UnsafePickle(ValueError):  # noqa: N818 - what the file is, not what went wrong here
    """The pickle asks for more than data: ``str()`` completes the sentence "the file ..."."""


class DamagedPickle(ValueError):  # noqa: N818
    """The bytes are no pickle, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Name:
    """Something that the pickle names in a module: never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Record:
    """An object of a class, as far as a pickle describes it."""

    kind: Name
    state: dict[str, Any] = field(default_factory=dict)  # its attributes
    items: dict[Any, Any] = field(default_factory=dict)  # of a subclass of dict
    members: list[Any] = field(default_factory=list)  # of a subclass of list


class _Mark:
    pass


_MARK = _Mark()
Persistent = Callable[[Any], Any]


def _nothing_is_outside(reference: Any) -> Any:
    raise UnsafePickle(f"refers to something outside of it ({reference!r:.60})")


def read_pickle(stream: IO[bytes], persistent: Persistent = _nothing_is_outside) -> Any:
    """One pickle from where the stream stands; behind it the stream stands at the next byte.

    ``persistent`` resolves what the pickle refers to outside of itself: torch's storages.

    Raises UnsafePickle when it asks for a call that is not plain data, DamagedPickle when it is no pickle.
    """
    try:
        return _Machine(persistent).run(stream)
    except UnsafePickle:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DamagedPickle(f"is no whole pickle ({error})") from error


class _Machine:
    def __init__(self, persistent: Persistent) -> None:
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: IO[bytes]) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name in {"PROTO", "FRAME"}:
                continue
            if name == "STOP":
                return self.stack.pop()
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _LITERALS:
                self.stack.append(argument)
            elif name in _TUPLES:
                self.tuple_of(_TUPLES[name])
            elif name in _STEPS:
                _STEPS[name](self, argument)
            else:
                raise UnsafePickle(f"holds the instruction {name}, which is not for data")
        raise ValueError("it has no end")

    def since_mark(self) -> list[Any]:
        position = len(self.stack) - 1
        while self.stack[position] is not _MARK:
            position -= 1
            if position < 0:
                raise ValueError("a mark is missing")
        values = self.stack[position + 1 :]
        del self.stack[position:]
        return values

    def put(self, argument: Any) -> None:
        self.memo[int(argument)] = self.stack[-1]

    def memoise(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, argument: Any) -> None:
        self.stack.append(self.memo[int(argument)])

    def pop(self, _: Any) -> None:
        self.stack.pop()

    def pop_mark(self, _: Any) -> None:
        self.since_mark()

    def duplicate(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def list_(self, _: Any) -> None:
        self.stack.append(self.since_mark())

    def tuple_(self, _: Any) -> None:
        self.stack.append(tuple(self.since_mark()))

    def dict_(self, _: Any) -> None:
        self.stack.append(_pairs(self.since_mark()))

    def frozenset_(self, _: Any) -> None:
        self.stack.append(frozenset(self.since_mark()))

    def tuple_of(self, count: int) -> None:
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(values)

    def empty_list(self, _: Any) -> None:
        self.stack.append([])

    def empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def empty_set(self, _: Any) -> None:
        self.stack.append(set())

    def append(self, _: Any) -> None:
        value = self.stack.pop()
        _extend(self.stack[-1], [value])

    def appends(self, _: Any) -> None:
        values = self.since_mark()
        _extend(self.stack[-1], values)

    def add_items(self, _: Any) -> None:
        values = self.since_mark()
        self.stack[-1].update(values)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _update(self.stack[-1], {key: value})

    def set_items(self, _: Any) -> None:
        values = self.since_mark()
        _update(self.stack[-1], _pairs(values))

    def global_(self, argument: Any) -> None:
        module, _, name = str(argument).partition(" ")
        self.stack.append(Name(module, name))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Name(str(module), str(name)))

    def persistent_id(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))

    def new_object(self, _: Any) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if not isinstance(kind, Name):
            raise UnsafePickle("makes an object of something that is no class")
        if arguments:
            raise UnsafePickle(f"makes a {kind} from arguments, which would run its code")
        self.stack.append(_IMITATED[str(kind)](()) if str(kind) in _IMITATED else Record(kind))

    def reduce(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        imitation = _IMITATED.get(str(called)) if isinstance(called, Name) else None
        if imitation is None:
            raise UnsafePickle(f"asks to call {called!s:.80}")
        self.stack.append(imitation(tuple(arguments)))

    def build(self, _: Any) -> None:
        state, owner = self.stack.pop(), self.stack[-1]
        if isinstance(owner, (dict, Tensor)):
            return  # attributes of a table of tensors (its _metadata) or of a parameter
        if isinstance(owner, Record) and str(owner.kind) in _IMITATED:
            if str(owner.kind) == "numpy.dtype" and isinstance(state, tuple) and len(state) > 1:
                owner.state["order"] = state[1]
            return  # the rest inside of it nothing here needs
        if not isinstance(owner, Record):
            raise UnsafePickle(f"gives attributes to a {type(owner).__name__}")
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, Mapping):
                owner.state.update({str(key): value for key, value in part.items()})
            elif part is not None:
                raise UnsafePickle(f"gives a {owner.kind} a state that is no table of attributes")


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))


def _extend(owner: Any, values: list[Any]) -> None:
    target = owner.members if isinstance(owner, Record) else owner
    target.extend(values)


def _update(owner: Any, values: dict[Any, Any]) -> None:
    target = owner.items if isinstance(owner, Record) else owner
    target.update(values)


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, Tensor):
        raise UnsafePickle("makes a tensor of something that is no storage")
    try:
        return storage.as_strided(tuple(size), tuple(stride), offset)
    except RuntimeError as error:
        raise ValueError("a tensor reaches beyond its storage") from error


def _table(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    return dict(arguments[0]) if arguments else {}


def _reconstructed(arguments: tuple[Any, ...]) -> Any:
    """copyreg's way to make an object of protocols 0 and 1: (class, base, the base's value)."""
    kind, base, value = arguments
    if not isinstance(kind, Name):
        raise UnsafePickle("makes an object of something that is no class")
    record = Record(kind)
    if isinstance(base, Name) and base.name == "dict" and isinstance(value, dict):
        record.items.update(value)
    elif isinstance(base, Name) and base.name == "list" and isinstance(value, list):
        record.members.extend(value)
    elif value is not None:
        raise UnsafePickle(f"makes a {kind} from a value, which would run its code")
    return record


def _attribute(arguments: tuple[Any, ...]) -> Name:
    """The name of something inside of something else, as torch pickles its own functions."""
    owner, name = arguments
    if not isinstance(owner, Name) or not isinstance(name, str):
        raise UnsafePickle("asks for an attribute of something that is no name")
    return Name(str(owner), name)


def _dtype(arguments: tuple[Any, ...]) -> Record:
    return Record(Name("numpy", "dtype"), {"code": arguments[0]})


def _scalar(arguments: tuple[Any, ...]) -> Any:
    """A text of numpy's is a text; a number of its is opaque."""
    kind, raw = arguments[0], arguments[1] if len(arguments) > 1 else None
    code = kind.state.get("code") if isinstance(kind, Record) else None
    if isinstance(code, str) and re.fullmatch(r"U\d+", code) and isinstance(raw, bytes):
        return raw.decode("utf-32-be" if kind.state.get("order") == ">" else "utf-32-le").rstrip("\0")
    return Record(Name("numpy", "number"), {"arguments": arguments})


def _opaque(name: str) -> Callable[[tuple[Any, ...]], Any]:
    """Harmless things that nothing here needs: a path, a device."""

    def build(arguments: tuple[Any, ...]) -> Record:
        module, _, last = name.rpartition(".")
        return Record(Name(module, last), {"arguments": arguments})

    return build


# What a pickle may ask to be called, and what is done instead.
_IMITATED: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _table,
    "collections.Counter": _table,
    "collections.defaultdict": lambda _: {},
    "builtins.set": lambda arguments: set(*arguments),
    "__builtin__.set": lambda arguments: set(*arguments),
    "builtins.frozenset": lambda arguments: frozenset(*arguments),
    "__builtin__.frozenset": lambda arguments: frozenset(*arguments),
    "builtins.getattr": _attribute,
    "__builtin__.getattr": _attribute,
    "_codecs.encode": lambda arguments: str(arguments[0]).encode("latin-1"),
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda arguments: arguments[0],
    "torch._utils._rebuild_parameter_with_state": lambda arguments: arguments[0],
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "torch.Size": lambda arguments: tuple(*arguments),
    **{
        name: _opaque(name)
        for name in (
            "torch.device",
            "pathlib.PosixPath",
            "pathlib.WindowsPath",
            "pathlib.PurePosixPath",
        )
    },
}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LITERALS = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.duplicate,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoise,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "EMPTY_LIST": _Machine.empty_list,
    "EMPTY_DICT": _Machine.empty_dict,
    "EMPTY_SET": _Machine.empty_set,
    "LIST": _Machine.list_,
    "TUPLE": _Machine.tuple_,
    "DICT": _Machine.dict_,
    "FROZENSET": _Machine.frozenset_,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.add_items,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "BINPERSID": _Machine.persistent_id,
    "NEWOBJ": _Machine.new_object,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}


def read_file(path: Path) -> Any:
    """What a pickle file holds: plain (``.pkl``), or torch's in its zip, its older or its TorchScript form.

    Raises UnsafePickle, DamagedPickle, or OSError.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _from_zip(archive)
        with path.open("rb") as stream:
            first = read_pickle(stream)
            if isinstance(first, int) and first == _LEGACY_MAGIC:
                return _from_legacy(stream, path.stat().st_size)
            return first
    except (UnsafePickle, DamagedPickle):
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, struct.error, EOFError, RuntimeError) as error:
        raise DamagedPickle(f"is not whole ({error})") from error


def _storage(reference: Any, most: int) -> tuple[str, Tensor]:
    """(key, the still empty storage) of torch's reference ("storage", type, key, place, size, ...).

    ``most``: bytes of the file, which no storage in it can exceed.
    """
    known = isinstance(reference, tuple) and len(reference) >= 5 and reference[0] == "storage"
    dtype = _DTYPES.get(getattr(reference[1], "name", "")) if known else None
    if dtype is None:
        _nothing_is_outside(reference)
    if len(reference) > 5 and reference[5] is not None:
        raise UnsafePickle("keeps a storage as a view of another, as only the oldest versions of torch did")
    count = int(reference[4])
    if not 0 <= count <= most:
        raise ValueError(f"a storage of {count} numbers does not fit into the file")
    return str(reference[2]), torch.empty(count, dtype=dtype)


def _fill(storage: Tensor, raw: bytes) -> None:
    expected = storage.numel() * storage.element_size()
    if len(raw) != expected:
        raise ValueError(f"a storage has {len(raw)} bytes instead of {expected}")
    if expected:
        storage.copy_(torch.frombuffer(bytearray(raw), dtype=storage.dtype))


def _from_zip(archive: zipfile.ZipFile) -> Any:
    names = archive.namelist()
    found = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
    if not found:
        raise DamagedPickle("holds no data.pkl, so torch did not write it")
    root = found[0].removesuffix("data.pkl")
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
        raise DamagedPickle("was written on a machine of the other byte order")
    most = sum(entry.file_size for entry in archive.infolist())
    storages: dict[str, Tensor] = {}

    def resolve(reference: Any) -> Tensor:
        key, storage = _storage(reference, most)
        if key not in storages:
            _fill(storage, archive.read(f"{root}data/{key}"))
            storages[key] = storage
        return storages[key]

    with archive.open(found[0]) as stream:
        return read_pickle(stream, resolve)


def _from_legacy(stream: IO[bytes], most: int) -> Any:
    """Protocol number, sizes of the machine's types, the object, the storages' keys: a pickle each. Then the
    storages, in the keys' order: the number of elements (int64), the elements."""
    read_pickle(stream)
    if read_pickle(stream).get("little_endian") is not True:
        raise DamagedPickle("was written on a machine of the other byte order")
    storages: dict[str, Tensor] = {}

    def resolve(reference: Any) -> Any:
        if isinstance(reference, tuple) and reference[:1] == ("module",):
            return reference[1]  # a class, with its source text, which is not looked at
        key, storage = _storage(reference, most)
        return storages.setdefault(key, storage)

    found = read_pickle(stream, resolve)
    for key in read_pickle(stream):
        (count,) = struct.unpack("<q", stream.read(8))
        storage = storages[str(key)]
        if count != storage.numel():
            raise DamagedPickle("says two sizes of one storage")
        _fill(storage, stream.read(count * storage.element_size()))
    return found


def state_of(record: Record) -> dict[str, Tensor]:
    """The state dict of a pickled ``nn.Module`` or of a TorchScript archive's module.

    Raises UnsafePickle when the object is neither.
    """
    found: dict[str, Tensor] = {}
    _collect(record, "", found, 0)
    if not found:
        raise UnsafePickle(f"holds an object of the class {record.kind}, which has no parameters")
    return found


def _collect(record: Record, prefix: str, found: dict[str, Tensor], depth: int) -> None:
    if depth > _MODULE_DEPTH:
        raise UnsafePickle("holds modules inside of themselves")
    state = record.state
    if isinstance(state.get("_parameters"), Mapping) or isinstance(state.get("_modules"), Mapping):
        unsaved = state.get("_non_persistent_buffers_set") or ()
        tensors = {**state.get("_parameters", {}), **state.get("_buffers", {})}
        parts = {name: part for name, part in tensors.items() if name not in unsaved}
        parts |= state.get("_modules", {})
    elif record.kind.module.startswith("__torch__"):
        parts = state
    else:
        return
    for name, part in parts.items():
        if isinstance(part, Tensor):
            found[f"{prefix}{name}"] = part
        elif isinstance(part, Record):
            _collect(part, f"{prefix}{name}.", found, depth + 1)

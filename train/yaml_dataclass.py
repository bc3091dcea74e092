"""From the mappings of a YAML file to frozen dataclasses, with errors that name the key and what it allows.

A field's type says what it takes: bool, int, float, str, Literal, X | None, tuple[X, ...], dict[str, X],
another dataclass, or a class that has `from_yaml(value) -> Self` (raising ValueError). Its metadata may hold
`low` and `high`, both allowed values, or `above`, which is not.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Any, TypeVar

from geo_model.errors import ConfigError

T = TypeVar("T")

_NOTHING = ("none", "None", "null", "")


def number(
    default: Any = MISSING,  # noqa: ANN401 - passed on to dataclasses.field
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
) -> Any:  # noqa: ANN401 - stands where a value of any number type stands
    """A dataclass field with bounds on its number."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


def from_mapping(cls: type[T], values: object, file: str, key: str = "") -> T:
    """Build a dataclass from what a YAML file holds.

    Args:
        cls: A frozen dataclass.
        values: The mapping under `key`.
        file: Named in errors.
        key: Dotted path of the mapping in the file; empty at the top.

    Raises:
        ConfigError: A key is unknown or missing, or a value is of the wrong type or out of range.
    """
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{_at(file, key)}: {values!r} stands where a mapping of {_keys(cls)} belongs.")
    known = {entry.name: entry for entry in fields(cls) if entry.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(
                f"{_at(file, _join(key, name))}: there is no such key; {hint}allowed: {_keys(cls)}."
            )
    arguments = {}
    for name, entry in known.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], file, _join(key, name), entry)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise ConfigError(f"{_at(file, _join(key, name))}: this key is missing; give it a value.")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ConfigError(f"{_at(file, key)}: {error}.") from error


def to_mapping(value: object) -> Any:  # noqa: ANN401 - a tree of plain values
    """The plain mappings, lists and values that `from_mapping` would read back."""
    if hasattr(value, "to_yaml"):
        return value.to_yaml()
    if is_dataclass(value):
        return {entry.name: to_mapping(getattr(value, entry.name)) for entry in fields(value) if entry.init}
    if isinstance(value, Mapping):
        return {name: to_mapping(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_mapping(part) for part in value]
    return value


def _convert(hint: Any, value: object, file: str, key: str, entry: Field[Any] | None) -> Any:  # noqa: ANN401
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in arguments if option is not types.NoneType]
        if len(options) < len(arguments) and (value is None or value in _NOTHING):
            return None
        if len(options) > 1 and isinstance(value, (list, tuple)):
            options = [option for option in options if typing.get_origin(option) is tuple]
        elif len(options) > 1:
            options = [option for option in options if typing.get_origin(option) is not tuple]
        return _convert(options[0], value, file, key, entry)
    if origin is typing.Literal:
        wanted = "none" if value is None and "none" in arguments else value
        if type(value) is int and str(value) in arguments:  # "32" without its quotes
            wanted = str(value)
        if wanted not in arguments or isinstance(wanted, bool):
            raise ConfigError(f"{_at(file, key)}: {value!r} is not one of: {', '.join(map(str, arguments))}.")
        return wanted
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{_at(file, key)}: {value!r} stands where a list belongs.")
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) != len(value):
            raise ConfigError(f"{_at(file, key)}: it has {len(value)} entries and takes {len(inner)}.")
        return tuple(
            _convert(h, v, file, f"{key}.{i}", entry)
            for i, (h, v) in enumerate(zip(inner, value, strict=True))
        )
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{_at(file, key)}: {value!r} stands where a mapping belongs, such as {{name: 1.0}}."
            )
        return {str(n): _convert(arguments[1], v, file, _join(key, n), entry) for n, v in value.items()}
    if hasattr(hint, "from_yaml"):
        try:
            return hint.from_yaml(value)
        except ValueError as error:
            raise ConfigError(f"{_at(file, key)}: {error}.") from error
    if is_dataclass(hint):
        return from_mapping(typing.cast("type[Any]", hint), value, file, key)
    return _plain(hint, value, file, key, entry)


def _plain(hint: type, value: object, file: str, key: str, entry: Field[Any] | None) -> Any:  # noqa: ANN401
    if hint is str:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)
        raise ConfigError(f"{_at(file, key)}: {value!r} stands where text belongs.")
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{_at(file, key)}: {value!r} is neither true nor false.")
    converted: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        converted = float(value)
    elif isinstance(value, str):
        try:
            converted = float(value)  # YAML 1.1 takes 1e-3 for text
        except ValueError:
            converted = None
    if converted is None or not math.isfinite(converted) or (hint is int and converted != int(converted)):
        kind = "a whole number" if hint is int else "a number"
        raise ConfigError(f"{_at(file, key)}: {value!r} is not {kind}.")
    bounds = entry.metadata if entry is not None else {}
    low, high, above = bounds.get("low"), bounds.get("high"), bounds.get("above")
    if (
        (low is not None and converted < low)
        or (high is not None and converted > high)
        or (above is not None and converted <= above)
    ):
        limits = [
            text
            for text, limit in (
                (f"at least {low}", low),
                (f"above {above}", above),
                (f"at most {high}", high),
            )
            if limit is not None
        ]
        raise ConfigError(f"{_at(file, key)}: {value!r} is out of range; it must be {' and '.join(limits)}.")
    return int(converted) if hint is int else converted


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _at(file: str, key: str) -> str:
    return f"{file}: {key}" if key else file


def _keys(cls: type) -> str:
    return ", ".join(entry.name for entry in fields(cls) if entry.init)  # type: ignore[arg-type]

"""Go's ``fmt.Sprintf``, ``Sprint`` and ``Sprintln`` over the values of templates. A wrong verb shows in the text, as Go has it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qflowd.alerts.template.values import Absent, composed, number, shown, type_name

WIDEST = 1000
"""Largest width and precision."""
_DIRECTIVE = re.compile(r"%([-+# 0]*)(\[\d+\])?(\*|\d+)?(?:(\.)(\[\d+\])?(\*|\d+)?)?(\[\d+\])?(.)?", re.S)
_QUOTED = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


@dataclass(frozen=True, slots=True)
class Spec:
    """One directive: its verb, its flags, its width and precision where given."""

    verb: str
    flags: str = ""
    width: int | None = None
    precision: int | None = None


def sprint(values: Sequence[Any]) -> str:
    """A space stands between two values neither of which is a text."""
    found = ""
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            found += " "
        found += shown(value)
    return found


def sprintln(values: Sequence[Any]) -> str:
    return " ".join(map(shown, values)) + "\n"


def sprintf(pattern: str, values: Sequence[Any]) -> str:
    """``pattern`` with its directives filled in."""
    taken, reordered = 0, False

    def fill(found: re.Match[str]) -> str:
        nonlocal taken, reordered
        flags, *rest, verb = found.groups()
        if verb is None:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        first, width, point, second, precision, third = rest
        numbers: list[int | None] = []
        bad = ""
        for index, text, name in ((first, width, "WIDTH"), (second, precision, "PREC")):
            if text != "*":
                if index and name == "WIDTH" and not third:
                    third = index
                numbers.append(int(text) if text else None)
            else:
                if index:
                    taken, reordered = int(index[1:-1]) - 1, True
                given = values[taken] if 0 <= taken < len(values) else None
                taken += 1
                fits = isinstance(given, int) and not isinstance(given, bool) and abs(given) <= WIDEST and (given >= 0 or name == "WIDTH")
                numbers.append(given if fits else None)
                bad += "" if fits else f"%!(BAD{name})"
            if (numbers[-1] or 0) > WIDEST:
                numbers[-1] = None
                bad += f"%!(BAD{name})"
        if numbers[0] is not None and numbers[0] < 0:
            flags, numbers[0] = flags + "-", -numbers[0]
        if third:
            taken, reordered = int(third[1:-1]) - 1, True
            if not 0 <= taken < len(values):
                return f"{bad}%!{verb}(BADINDEX)"
        if taken >= len(values):
            return f"{bad}%!{verb}(MISSING)"
        value = values[taken]
        taken += 1
        if point and numbers[1] is None and not bad:
            numbers[1] = 0
        return bad + directive(Spec(verb, flags, numbers[0], numbers[1]), value)

    text = _DIRECTIVE.sub(fill, pattern)
    if not reordered and taken < len(values):
        extra = ", ".join(f"{type_name(one)}={shown(one)}" if one is not None else "<nil>" for one in values[taken:])
        text += f"%!(EXTRA {extra})"
    return text


def directive(spec: Spec, value: Any) -> str:
    """One value by one directive."""
    if spec.verb == "T":
        return _padded(spec, "<nil>" if value is None else type_name(value))
    if spec.verb == "v":
        # A plus means the names of fields, the hash Go's own syntax: neither is a sign or a prefix.
        if "#" in spec.flags and isinstance(value, str):
            return directive(Spec("q", spec.flags.replace("#", ""), spec.width), value)
        spec = Spec("v", spec.flags.replace("+", "").replace("#", ""), spec.width, spec.precision)
    if value is None:
        return _padded(spec, "<nil>") if spec.verb == "v" else f"%!{spec.verb}(<nil>)"
    text: str | None
    if isinstance(value, Absent):
        return _padded(spec, "no data")
    if isinstance(value, bool):
        text = _padded(spec, str(value).lower()) if spec.verb in "tv" else None
    elif isinstance(value, int):
        text = _integer(spec, value)
    elif isinstance(value, float):
        text = _real(spec, value)
    elif isinstance(value, str):
        text = _string(spec, value)
    else:
        return composed(value, lambda one: directive(spec, one))
    return f"%!{spec.verb}({type_name(value)}={shown(value)})" if text is None else text


def _padded(spec: Spec, text: str, *, zeros: bool = False) -> str:
    if spec.width is None or len(text) >= spec.width:
        return text
    if "-" in spec.flags:
        return text.ljust(spec.width)
    if zeros and "0" in spec.flags:
        sign = text[:1] if spec.verb != "s" and text[:1] in ("+", "-", " ") else ""
        return sign + text[len(sign) :].rjust(spec.width - len(sign), "0")
    return text.rjust(spec.width)


def _signed(spec: Spec, negative: bool) -> str:
    return "-" if negative else "+" if "+" in spec.flags else " " if " " in spec.flags else ""


def _integer(spec: Spec, value: int) -> str | None:
    match spec.verb:
        case "c":
            return _padded(spec, _character(value))
        case "q":
            return _padded(spec, "'" + _quoted(_character(value), "+" in spec.flags).replace("'", "\\'").replace('\\"', '"') + "'")
        case "U":
            return _padded(spec, f"U+{value:04X}" + (f" '{_character(value)}'" if "#" in spec.flags else ""))
        case "v" | "d":
            digits, prefix = str(abs(value)), ""
        case "b" | "o" | "O" | "x" | "X":
            digits = format(abs(value), spec.verb.replace("O", "o"))
            prefix = {"b": "0b", "o": "0", "O": "0o", "x": "0x", "X": "0X"}[spec.verb] if "#" in spec.flags or spec.verb == "O" else ""
        case _:
            return None
    if spec.precision is not None:
        digits = digits.rjust(spec.precision, "0") if spec.precision or value else ""
    return _padded(spec, _signed(spec, value < 0) + prefix + digits, zeros=spec.precision is None)


def _character(value: int) -> str:
    return chr(value) if 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000 else "\ufffd"


def _real(spec: Spec, value: float) -> str | None:
    if spec.verb not in tuple("vbgGxXfFeE"):
        return None
    if not math.isfinite(value):
        sign = _signed(spec, value < 0)
        return _padded(spec, f"{sign}NaN" if value != value else f"{sign or '+'}Inf")
    magnitude = abs(value)
    match spec.verb:
        case "f" | "F" | "e" | "E":
            text = f"{magnitude:.{6 if spec.precision is None else spec.precision}{spec.verb}}"
        case "v" | "g" | "G":
            text = number(magnitude) if spec.precision is None else f"{magnitude:.{spec.precision or 1}g}"
            text = text.upper() if spec.verb == "G" else text
        case "b":
            exponent = max(math.frexp(magnitude)[1], -1021) - 53 if magnitude else -1074
            text = f"{int(math.ldexp(magnitude, -exponent))}p{exponent:+d}"
        case _:
            text = _hexadecimal(magnitude, spec.precision)
            text = text.upper() if spec.verb == "X" else text
    return _padded(spec, _signed(spec, math.copysign(1, value) < 0) + text, zeros=True)


def _hexadecimal(value: float, precision: int | None) -> str:
    mantissa, exponent = math.frexp(value)
    if not value:
        exponent = 1
    bits = int(mantissa * (1 << 53))
    if precision is not None and precision < 13:
        # Round half to even at the wanted hexadecimal digit.
        bits = round(bits / (1 << 4 * (13 - precision))) << 4 * (13 - precision)
        bits, exponent = (bits >> 1, exponent + 1) if bits >> 53 else (bits, exponent)
    digits = f"{bits & (1 << 52) - 1:013x}"
    digits = digits.rstrip("0") if precision is None else digits[:precision].ljust(precision, "0")
    return f"0x{bits >> 52}{'.' if digits else ''}{digits}p{exponent - 1:+03d}"


def _string(spec: Spec, value: str) -> str | None:
    match spec.verb:
        case "v" | "s":
            return _padded(spec, value[: spec.precision], zeros=True)
        case "q":
            cut = value[: spec.precision]
            if "#" in spec.flags and "`" not in cut and all(one.isprintable() or one == "\t" for one in cut):
                return _padded(spec, f"`{cut}`")
            return _padded(spec, f'"{_quoted(cut, "+" in spec.flags)}"')
        case "x" | "X":
            octets = value.encode()[: spec.precision]
            lead = "0x" if "#" in spec.flags and octets else ""
            text = lead + (f" {lead}".join(f"{one:02x}" for one in octets) if " " in spec.flags else octets.hex())
            return _padded(spec, text.upper() if spec.verb == "X" else text)
    return None


def _quoted(text: str, ascii_only: bool) -> str:
    found = ""
    for one in text:
        code = ord(one)
        if one in _QUOTED:
            found += _QUOTED[one]
        elif one == " " or (one.isprintable() and (code < 0x80 or not ascii_only)):
            found += one
        elif code < 0x80:
            found += f"\\x{code:02x}"
        else:
            found += f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return found



"""What people type as an option's value, read: lists, pairs, numbers."""

from __future__ import annotations

from tenfold.core.errors import InputError


def words(text: str | None) -> tuple[str, ...] | None:
    """``a,b`` as two words; None where none is given.

    >>> words("df, vasc"), words(",")
    (('df', 'vasc'), None)
    """
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip()) or None


def pairs(text: str | None, option: str) -> dict[str, str] | None:
    """``a=b,c=d`` as a mapping; a value may hold `=` and, where no pair follows, a comma. Raises InputError.

    >>> pairs("label=dx, note=size, in mm", "--map")
    {'label': 'dx', 'note': 'size, in mm'}
    """
    if text is None:
        return None
    parts: list[str] = []
    for part in text.split(","):
        if "=" in part or not parts:
            parts.append(part)
        else:
            parts[-1] += f",{part}"
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not (equals and name and value):
            raise InputError(
                f"{part.strip()!r} is no pair", where=option, expected="NAME=VALUE, several with commas between"
            )
        if name in found:
            raise InputError(f"{name} is given twice", where=option, expected="each name once")
        found[name] = value
    return found


def numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """``1,2,3`` as whole numbers. Raises InputError."""
    found = words(text)
    if found is not None and not all(word.isdecimal() for word in found):
        raise InputError(f"{text!r} are no numbers", where=option, expected="such as 1,2,3")
    return None if found is None else tuple(map(int, found))


def number_or_range(text: str | None, option: str) -> int | tuple[int, int] | None:
    """``30`` as a number, ``30-50`` as two. Raises InputError."""
    if text is None:
        return None
    found = [int(part) for part in text.split("-") if part.strip().isdecimal()]
    if len(found) != text.count("-") + 1 or len(found) > 2:
        raise InputError(f"{text!r} is no number of images", where=option, expected="such as 30, or 30-50")
    return found[0] if len(found) == 1 else (found[0], found[1])


def number_or_word(text: str | None) -> int | str | None:
    """``12`` as a number, anything else as it is."""
    return int(text) if text is not None and text.isdecimal() else text


def prompts(texts: list[str] | None, option: str) -> dict[str, list[str]] | None:
    """``class=text`` texts as prompts by class. Raises InputError."""
    found: dict[str, list[str]] = {}
    for text in texts or ():
        label, separator, prompt = text.partition("=")
        if not separator or not label.strip() or not prompt.strip():
            raise InputError(
                f"{text!r} names no class and prompt", where=option, expected='such as "df=a photo of a {class_noun}"'
            )
        found.setdefault(label.strip(), []).append(prompt.strip())
    return found or None

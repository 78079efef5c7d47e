"""Broken forms of files: of what they say, where that is known, and of their bytes."""

import io
import json
import random
import zipfile
from typing import Any

import yaml

Files = dict[str, bytes]
"""A file or folder: content by name."""

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 9, 255, 2**31, 2**53, 2**63, -(2**63), 10**9, 10**12, 10**30,
    0.0, 0.5, -0.5, 1e300, float("nan"), float("inf"), "", "0", "a", "ü", "a" * 5000, "../../x",
    "/etc/passwd", "os:system", "a.b:C", "\x00", "\ud800", "{{7*7}}", "<b>", "=1+1", "%s%n", 
    "1e999",
    "2:4", "50%", "1pt", "auto", [], {}, [[]], [0], [10**9], {"name": "x"}, {"name": []}, {"": ""},
    [None] * 50, list(range(200)), "package:os/x", "*", "(", "[a", ".*", "🌸", "yes", "!!python/x",
)  # fmt: skip
BYTES = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"{",
    b"[",
    b'"',
    b"&a ",
    b"*a",
    b"!!",
    b",",
)
SWAPS = (
    (b'ref="', b'ref="A1:XFD1048576" x="'),
    (b"B2:B3", b"A1:XFD1048576"),
    (b'r="A1"', b'r="XFD1048576"'),
    (b'r="1"', b'r="99999999"'),
    (b"<v>", b"<v>1e999"),
    (b't="', b't="e" x="'),
    (b't="n"', b't="d"'),
    (b"?>", b'?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'),
    (b"</", b"<"),
    (b"<", b"<x><"),
    (b'r:id="', b'r:id="x'),
    (b'Target="', b'Target="../../'),
    (b"0", b"999999999"),
    (b"s", b""),
)
LONGEST = 2**25
"""Bytes of a file; twice as many as any reader of texts takes."""
SHIFTS = (1, 2, 8, 64, 4096, 2**20, 2**40)


def mutated(draw: random.Random, files: Files) -> Files:
    """One or several changes of one or several files."""
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        name = draw.choice(list(files))
        files[name] = _changed(draw, name, files[name])[:LONGEST]
    if len(files) > 1 and draw.random() < 0.02:
        del files[draw.choice(list(files))]
    return files


def _changed(draw: random.Random, name: str, data: bytes) -> bytes:
    if draw.random() < 0.25:
        return _bytes(draw, data)
    try:
        if name.endswith(".json"):
            return _json(_tree(draw, json.loads(data)))
        if name.endswith(".safetensors"):
            return _tensors(draw, data)
        if name.endswith(".yaml"):
            return _yaml(draw, data)
        if name.endswith(".xlsx"):
            return _book(draw, data)
        return _lines(draw, data)
    except Exception:
        return _bytes(draw, data)  # it was broken before, by anything


def _json(tree: Any) -> bytes:
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def _tree(draw: random.Random, tree: Any) -> Any:
    """A tree with a node that is another one."""
    places = list(_places(tree))
    if not places:
        return draw.choice(HOSTILE)
    owner, key = draw.choice(places)
    match draw.randrange(7):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, dict):
            owner[str(draw.choice(HOSTILE))] = owner.pop(key)
        case 2 if isinstance(owner, dict):
            owner[str(draw.choice(HOSTILE))] = draw.choice(HOSTILE)
        case 3:
            owner[key] = _deep(draw, owner[key])
        case 4:
            other, place = draw.choice(places)
            owner[key] = json.loads(json.dumps(other[place], default=str))
        case 5 if isinstance(owner[key], int | float):
            shift = draw.choice(SHIFTS) * draw.choice((1, -1))
            owner[key] = draw.choice((owner[key] + shift, owner[key] * shift, str(owner[key])))
        case _:
            owner[key] = draw.choice(HOSTILE)
    return tree


def _places(tree: Any) -> Any:
    pairs = enumerate(tree) if isinstance(tree, list) else ()
    for key, value in tree.items() if isinstance(tree, dict) else pairs:
        yield tree, key
        yield from _places(value)


def _deep(draw: random.Random, value: Any) -> Any:
    for _ in range(draw.choice((1, 3, 70, 400))):
        value = [value] if draw.random() < 0.5 else {"a": value}
    return value


def _yaml(draw: random.Random, data: bytes) -> bytes:
    match draw.randrange(12):
        case 0:
            return data + _aliases(draw.choice((3, 12)), draw.choice((2, 10, 60)))
        case 1:
            depth = draw.choice((50, 300, 20000))
            return draw.choice((b"[" * depth, b"{a: " * depth, b"- " * depth)) + data
        case 2:
            lines = data.splitlines(keepends=True)
            draw.shuffle(lines)
            return b"".join(lines)
        case 3:
            return data + data
        case 4:
            tag = (
                b"!!python/object/apply:os.system [x]",
                b"!!binary %%",
                b"!!timestamp x",
                b"<<: 1",
                b"2001-99-99",
                b"!!int x",
                b"&a [*a]",
                b"!!set {a, b}",
                b"!!omap [1]",
                b"? [a]",
            )
            return data + b"\nextra: " + draw.choice(tag) + b"\n"
        case _:
            if b"&a" in data:  # which would grow here, too
                return _bytes(draw, data)
            text = yaml.safe_dump(_tree(draw, yaml.safe_load(data)), allow_unicode=True)
            return text.encode("utf-8", "surrogatepass")


def _aliases(levels: int, wide: int) -> bytes:
    rows = ["a0: &a0 [x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, levels)]
    return ("\n" + "\n".join(rows) + "\n").encode()


def _tensors(draw: random.Random, data: bytes) -> bytes:
    """Another header, its length right or not."""
    size = int.from_bytes(data[:8], "little")
    said = _tree(draw, json.loads(data[8 : 8 + size]))
    about = said.get("__metadata__") if isinstance(said, dict) else None
    if isinstance(about, dict) and isinstance(about.get("prunus"), str) and draw.random() < 0.5:
        about["prunus"] = json.dumps(_tree(draw, json.loads(about["prunus"])))
    text = _json(said)
    told = len(text) if draw.random() < 0.9 else draw.choice((0, 1, 2**20, 2**40, 2**63, 2**64 - 1))
    return told.to_bytes(8, "little") + text + data[8 + size :]


def _book(draw: random.Random, data: bytes) -> bytes:
    """A workbook with a part that is changed, gone, or huge when it is unpacked."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        names = old.namelist()
        chosen, way = draw.choice(names), draw.randrange(12)
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
            for name in names:
                part = old.read(name)
                if name != chosen or (way == 0 and draw.random() < 0.9):
                    new.writestr(name, part)
                elif way == 1:
                    new.writestr(name, part + b" " * draw.choice((10, 2**22)))
                elif way > 1:
                    new.writestr(name, _xml(draw, part))
    return made.getvalue()


def _xml(draw: random.Random, part: bytes) -> bytes:
    old, new = draw.choice(SWAPS)
    return part.replace(old, new, draw.choice((1, 1000))) if old in part else _bytes(draw, part)


def _lines(draw: random.Random, data: bytes) -> bytes:
    """A table of text with cells that are others."""
    rows = [line.split(b",") for line in data.split(b"\n")]
    row = draw.choice(rows)
    value = str(draw.choice(HOSTILE)).encode("utf-8", "surrogatepass")
    match draw.randrange(5):
        case 0:
            row.append(value)
        case 1:
            row[draw.randrange(len(row))] = b'"' + value * draw.choice((1, 300))
        case 2:
            rows = rows * draw.choice((2, 20))
        case 3:
            rows = [row * draw.choice((1, 100)) for row in rows]
        case _:
            row[draw.randrange(len(row))] = value
    return b"\n".join(map(b",".join, rows))


def _bytes(draw: random.Random, data: bytes) -> bytes:
    place = draw.randrange(len(data) + 1)
    match draw.randrange(6):
        case 0:
            return data[:place]
        case 1:
            return data[:place] + draw.choice(BYTES) * draw.choice((1, 3, 100)) + data[place:]
        case 2:
            return data[:place] + draw.randbytes(draw.choice((1, 8, 200))) + data[place + 8 :]
        case 3:
            end = place + draw.choice(SHIFTS[:5])
            return data[:place] + data[place:end] * 2 + data[end:]
        case 4:
            return draw.randbytes(draw.choice((0, 1, 9, 500)))
        case _:
            flipped = bytearray(data)
            for _ in range(draw.choice((1, 4, 30))):
                if flipped:
                    flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
            return bytes(flipped)

"""Checks that a pickled weights file can hold nothing but tensors, and none larger than the file has bytes for.

`torch.load(weights_only=True)` runs no foreign code, but makes whatever sizes the file claims: `bytearray(10**10)`, a tensor of a
million rows over one number, an archive that unpacks to a thousand times its size. So the instructions are read first, and none
of them is executed. Torch-free.
Source: `pickletools`; the two layouts of `torch.save` (a zip archive, and before torch 1.6 five pickles in a row).
"""

import io
import pickletools
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import BinaryIO

from ..errors import ModelError
from ..regularfile import open_written, reason

MOST_BYTES = 16_000_000
"""Most bytes of instructions; those of a model with hundreds of tensors take 100 kB."""
MOST_OPERATIONS = 200_000
PICKLES = 5
"""Pickles at the start of an old file: magic number, version, facts about the machine, tensors, names of their storages."""

_TENSORS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.nn.parameter Parameter",
    *(f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")),
}
"""The names that a state dict of plain tensors uses."""
_FOREIGN = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
"""Instructions that make objects and that `torch.save` does not write for tensors."""
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_REMEMBER = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}


def check_pickle(path: Path) -> None:
    """Refuses a `.bin` file that is more than plain tensors, or claims more than it holds.

    Args:
        path: A file of `torch.save`.

    Raises:
        ModelError: The file is not of `torch.save`, is damaged, or holds something else; the text names it.
    """
    try:
        with open_written(path) as file:
            size_bytes = file.seek(0, io.SEEK_END)
            file.seek(0)
            begin = file.read(2)
            file.seek(0)
            if begin == b"PK":
                _check(path, _instructions_of_zip(file, size_bytes), size_bytes)
            elif begin.startswith(b"\x80"):
                stream = io.BytesIO(file.read(MOST_BYTES))
                for _ in range(PICKLES):
                    _check(path, stream, size_bytes)
            else:
                raise ValueError("it does not begin like a PyTorch file (a Git LFS pointer?)")
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, OverflowError) as error:
        raise ModelError(
            f"{path} is damaged or cut off: {reason(error)}.", "Copy it again, and compare its size with the original."
        ) from error


def _instructions_of_zip(file: BinaryIO, size_bytes: int) -> io.BytesIO:
    """The pickle of an archive whose entries lie in it unpacked, as `torch.save` leaves them."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its parts are compressed, which torch.save never does")
        if sum(entry.file_size for entry in entries) > size_bytes:
            raise ValueError("its parts claim more bytes than it has")
        name = next((entry for entry in entries if entry.filename.endswith("/data.pkl")), None)
        if name is None or name.file_size > MOST_BYTES:
            raise ValueError("it has no data.pkl of a model's size")
        return io.BytesIO(archive.read(name))


def _check(path: Path, stream: io.BytesIO, size_bytes: int) -> None:
    numbers: list[int] = []  # those that stand in a row
    for operation, argument in _operations(stream):
        if operation in _FOREIGN or (operation == "GLOBAL" and argument not in _TENSORS):
            raise ModelError(
                f"{path} is no plain PyTorch state dict: it holds objects whose loading could run code, so it was not opened "
                f"({str(argument or operation)[:100].replace(' ', '.')}).",
                "Save it again with torch.save(model.state_dict(), ...), or as safetensors.",
            )
        if operation in _NUMBERS:
            numbers.append(int(argument) if isinstance(argument, int) else 0)
            continue
        if operation in _REMEMBER and numbers:
            raise ValueError("it hides sizes")  # no pickler remembers numbers
        count = _TUPLES.get(operation, len(numbers) if operation == "TUPLE" else 0)
        sizes = numbers[len(numbers) - count :] if count else []
        if any(size < 0 for size in sizes) or prod(sizes) > size_bytes:  # an element takes a byte or more
            raise ValueError(f"it claims a tensor of {'x'.join(str(size)[:20] for size in sizes)} numbers, more than it holds")
        numbers = []


def _operations(stream: io.BytesIO) -> Iterator[tuple[str, object]]:
    for number, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if number > MOST_OPERATIONS:
            raise ValueError("it has more instructions than a model needs")
        yield operation.name, argument

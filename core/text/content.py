"""Recognises content that a file's name does not show: gzip, a git-lfs pointer, UTF-16. Reads the first bytes only."""

GZIP = b"\x1f\x8b"
HEAD_BYTES = 200
"""Number of bytes of a file that are read for this."""
_POINTER = b"version https://git-lfs.github.com/spec/"
_BYTE_ORDER = (b"\xff\xfe", b"\xfe\xff")
NOTHING_SHARE = 0.4
"""Least share of zero bytes in UTF-16: of Latin letters every other byte is zero; UTF-8 has none."""


def is_gzip(head: bytes) -> bool:
    """Whether a file is gzipped, whatever its name."""
    return head.startswith(GZIP)


def is_lfs_pointer(head: bytes) -> bool:
    """Whether a file is a git-lfs pointer, left in place of a large file that was not fetched."""
    return head.startswith(_POINTER)


def is_utf16(head: bytes) -> bool:
    """Whether a text is UTF-16, with or without a byte order mark."""
    return head.startswith(_BYTE_ORDER) or head.count(0) > NOTHING_SHARE * max(2, len(head))


def oddity(head: bytes, name: str) -> tuple[str, str] | None:
    """The reason why a file cannot be read as its name says.

    Args:
        head: The first bytes of the file.
        name: The file's name, for the fix.

    Returns:
        Half a sentence that says what the file is, and a fix; None where its content is as expected.
    """
    if is_lfs_pointer(head):
        return "is a git-lfs pointer, not the file itself", f"Fetch it where it was cloned: git lfs pull --include {name}"
    if is_gzip(head):
        return "is gzipped", f"Unpack it first: gunzip -c {name}"
    if is_utf16(head):
        return "is UTF-16 text, but only UTF-8 is read", "Convert it with: iconv -f UTF-16 -t UTF-8"
    return None

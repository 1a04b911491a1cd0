"""What a file really holds where its name says something else: gzip, a git-lfs pointer, UTF-16. Looks at the first bytes only."""

GZIP = b"\x1f\x8b"
HEAD_BYTES = 200
"""How much of a file is looked at."""
_POINTER = b"version https://git-lfs.github.com/spec/"
_BYTE_ORDER = (b"\xff\xfe", b"\xfe\xff")
NOTHING_SHARE = 0.4
"""From this share of zero bytes on, text is UTF-16: of Latin letters every other byte is one; UTF-8 has none."""


def is_gzip(head: bytes) -> bool:
    """Whether a file is packed by gzip, whatever it is called."""
    return head.startswith(GZIP)


def is_lfs_pointer(head: bytes) -> bool:
    """Whether a file is what git leaves of a large one that was not fetched."""
    return head.startswith(_POINTER)


def is_utf16(head: bytes) -> bool:
    """Whether a text is UTF-16, with or without a byte order mark."""
    return head.startswith(_BYTE_ORDER) or head.count(0) > NOTHING_SHARE * max(2, len(head))


def oddity(head: bytes, name: str) -> tuple[str, str] | None:
    """What cannot be read as what it is called.

    Args:
        head: The first bytes of the file.
        name: What the file is called, for the fix.

    Returns:
        Half a sentence that says what it is, and what to do; None for all else.
    """
    if is_lfs_pointer(head):
        return "is a git-lfs pointer, not the file itself", f"Fetch it where it was cloned: git lfs pull --include {name}"
    if is_utf16(head):
        return "is UTF-16 text, but only UTF-8 is read", "Convert it with: iconv -f UTF-16 -t UTF-8"
    return None

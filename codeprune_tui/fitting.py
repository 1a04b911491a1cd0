"""Texts cut to a width so that what tells them apart stays: both their ends. Pure."""

from rich.cells import cell_len, set_cell_size


def middle_out(text: str, width: int) -> str:
    """A text in at most `width` columns; what tells names apart stands at both ends of them."""
    if cell_len(text) <= width:
        return text
    tail = set_cell_size(text[::-1], (width - 1) // 2)[::-1]
    return f"{set_cell_size(text, width - 1 - cell_len(tail))}…{tail}"

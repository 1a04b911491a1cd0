"""Ruby source to methods, comments and the texts a model reads.

Splits Ruby into methods with doc comment and code tokens by the recipe of CodeSearchNet, so that rows made from anybody's
files look like the rows a model was trained on. Never refuses a source: what cannot be read is named in a warning. Knows
neither files nor models; runs no Ruby. `define_method` is left out on purpose, for its name may be any expression.

Source: H. Husain et al., "CodeSearchNet challenge", 2019 (arXiv 1909.09436); grammar: tree-sitter-ruby.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import thread_time

import tree_sitter_ruby
from tree_sitter import Language, Node, Parser, Tree

from .errors import DataError

_ONE_TOKEN = frozenset({"string", "heredoc_body", "regex", "subshell", "character", "bare_string"})
"""Nodes with children that CodeSearchNet keeps as one token."""

_DEFS = frozenset({"method", "singleton_method"})
_SCOPES = frozenset({"class", "module"})
_WHOLE = _DEFS | _SCOPES | {"comment"}
_OPENERS = frozenset({"begin", "case", "class", "def", "do", "for", "if", "module", "unless", "until", "while", "(", "[", "{"})
_DECORATION = frozenset({"call", "argument_list", "parenthesized_statements"})
"""What may stand between a comment and its def: `private def x`, `memoize(def x …)`."""

# Limits far above what people write. Without them a hostile source of 10 MB would take time or memory quadratic in its size.
_MAX_NESTED = 3
"""Defs inside defs are methods too, up to this depth."""
_MAX_SCOPES = 50
"""How many enclosing modules and classes, counted from the inside, a qualified name may have."""
_MAX_DECORATION = 10
"""How many nodes may stand between a comment and its def."""
_PIECE_BYTES = 65_536
"""Bytes that the parser is handed at a time."""
_MAX_RESCUED = 20
"""How many defs that the parser gave up on are read again by themselves."""
_MAX_RESCUED_LENGTH = 20_000
"""Longest text, in characters, that is read again."""

_PART_LENGTH = 1_000_000
"""Characters of a long source that are read at a time; a tree takes 45 times the memory of its text."""
SOURCE_BYTES = 20_000_000
"""Longest file that is read; the largest that people wrote have some 100 kB."""
_SECONDS, _SECONDS_PER_MB = 4.0, 1.0
"""Computing time that reading may take: 14 s for 10 MB of real methods, which took 3.6 s (2 cores of an AMD EPYC)."""

_OUTER_END = re.compile(r"^end[^\S\n]*\n", re.MULTILINE)
_BLANK = re.compile(rb"[^\S\n]*")
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"

_DIRECTIVE = re.compile(
    r"""!/  # shebang
    | -\*-  # Emacs variables
    | (?:frozen[_-]string[_-]literal|(?:file)?encoding|coding|warn[_-]indent|typed)\s*[:=]\s*[\w.-]+$
    | shareable[_-]constant[_-]value\s*: | vim\s*: | (?:rubocop|standard)\s*:\s*(?:disable|enable|todo)\b
    | :(?:nodoc|doc|notnew|startdoc|stopdoc|enddoc|nocov|markup|section|category|main|title|yields?|args?|call-seq):
    """,
    re.VERBOSE,
)
_RULE = re.compile(r"[^\w\s]{2,}$")
_TAG = re.compile(r"@!?\w")

_DOC_TOKEN = re.compile(r"""\(\)|\[\]|\{\}|([.:;=*>+\-/\\()\[\]{}])\1*|[^\s,'"`.:;=*>+\-/\\()\[\]{}]+""")
"""Runs of one sign, and what stands between signs; commas and quotes vanish."""

_PIECE = re.compile(r"(?<!\w)_+(?!\w)|[^\W_]+|[^\w\s]+")
_WORD = re.compile(r"[A-Z]{2,}s(?![^\W_A-Z\d])|[A-Z]+(?![^\W_A-Z\d])\d*|[A-Z]?[^\W_A-Z]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True)
class Method:
    """One method of a source."""

    name: str
    """Its own name: `print_summary`, `name=`, `[]`."""
    code: str
    """From `def` to `end` as written, with the bodies of its heredocs."""
    tokens: tuple[str, ...]
    """Code tokens as in CodeSearchNet: comments dropped, a string or heredoc body in one piece."""
    comment: str
    """The comment above it without markers, directives and magic comments; empty when there is none."""
    line: int
    """Line of its `def`, from 1."""
    qualified: str
    """Modules, classes and name, joined with dots: `Mod.Class.name`."""


@dataclass(frozen=True)
class RubyWarning:
    """A place that could not be read as Ruby."""

    line: int
    """Line, from 1."""
    message: str
    """What is wrong there, without the line."""

    def __str__(self) -> str:
        """Returns the message with its line."""
        return f"line {self.line}: {self.message}"


@dataclass(frozen=True)
class Parsed:
    """What could be read of a source."""

    methods: tuple[Method, ...]
    """Methods in the order of their `def`."""
    warnings: tuple[RubyWarning, ...]
    """Places that could not be read, at most one a line, in order."""


def methods(source: str) -> list[Method]:
    """Returns the methods of a Ruby source; of invalid Ruby, those that could be read.

    Args:
        source: Any text.

    Returns:
        Methods in the order of their `def`, singleton and nested ones included.
    """
    return list(parse(source).methods)


def parse(source: str) -> Parsed:
    """Reads a Ruby source: its methods, and warnings for what is not Ruby. Never fails.

    Args:
        source: Any text; a byte order mark is ignored.

    Returns:
        Methods and warnings.
    """
    text = source.removeprefix("\ufeff")
    warnings: dict[int, str] = {}
    if _UNREADABLE.search(text):
        for line, content in enumerate(text.split("\n"), start=1):
            if _UNREADABLE.search(content):
                warnings[line] = "a NUL or what is not UTF-8 was replaced"
        text = _UNREADABLE.sub(_REPLACEMENT, text)
    all_methods: list[Method] = []
    clock = _Clock(_SECONDS + _SECONDS_PER_MB * len(text) / 1e6)
    start = above = 0
    while True:
        reader, methods_of_part, start, stopped = _read_part(text, start, clock)
        all_methods += (replace(method, line=method.line + above) for method in methods_of_part)
        for line, message in reader.warnings.items():
            warnings.setdefault(line + above, message)
        above += len(reader.lines) - 1
        if stopped:
            warnings[above + 1] = f"reading took more than {clock.allowed:.0f} s of computing; from here on nothing is read"
            break
        if start >= len(text):
            break
    return Parsed(tuple(all_methods), tuple(RubyWarning(*item) for item in sorted(warnings.items())))


def _read_part(text: str, start: int, clock: "_Clock") -> "tuple[_Reader, list[Method], int, bool]":
    """Reads a part of a source: all of it, or of a long one as much as fits into memory well, up to the end of a definition.

    Args:
        text: The source.
        start: Character that the part begins at.
        clock: What is left of the time.

    Returns:
        The reader with warnings and lines of the part, its methods, the character behind it, and whether time ran out there.
    """
    length = _PART_LENGTH
    while True:
        end = _end_of_part(text, start + length)
        try:
            reader = _Reader(text[start:end], clock)
            read = sorted([*reader.read(), *reader.rescue()], key=lambda method: method.line)
        except _TooSlowError as error:
            reached = error.reached
            break
        if not reader.warnings or end == len(text) or length >= _PART_LENGTH * 4:
            return reader, read, end, False
        length *= 2  # something in it is open: maybe it ends a little later
    for share in (2, 4, 16):  # what is slow is so in more than proportion to its length
        end = text.rfind("\n", start, start + reached // share) + 1
        reader = _Reader(text[start:end], _Clock(clock.allowed / 2))
        with suppress(_TooSlowError):
            return reader, reader.read() if end > start else [], max(end, start), True
    return _Reader("", clock), [], start, True


def _end_of_part(text: str, at: int) -> int:
    """Returns the place behind the next `end` at the beginning of a line; the end of the text if there is none."""
    match = _OUTER_END.search(text, at) if at < len(text) else None
    return match.end() if match else len(text)


def first_paragraph(comment: str) -> str:
    """Returns what CodeSearchNet takes as a method's description.

    Args:
        comment: A comment without markers.

    Returns:
        Its lines up to the first blank one or the first tag (`@param`), each stripped; empty when there are none.
    """
    lines: list[str] = []
    for line in map(str.strip, comment.split("\n")):
        if _TAG.match(line) or (lines and not line):
            break
        if line:
            lines.append(line)
    return "\n".join(lines)


def docstring_tokens(comment: str) -> list[str]:
    """Cuts the first paragraph of a comment into tokens as CodeSearchNet does.

    Args:
        comment: A comment without markers.

    Returns:
        Words and signs; commas and quotes are dropped.
    """
    return [match.group() for match in _DOC_TOKEN.finditer(first_paragraph(comment))]


def source_text(tokens: Sequence[str]) -> str:
    """Returns what a model reads of a method: its code tokens on one line.

    Args:
        tokens: Code tokens; blanks and newlines inside them are collapsed too.

    Returns:
        The tokens joined with single blanks.

    Raises:
        DataError: The tokens are one string.
    """
    return _one_line(tokens, "code_tokens")


def target_text(tokens: Sequence[str]) -> str:
    """Returns what a model learns to write: the docstring tokens on one line.

    Args:
        tokens: Docstring tokens; blanks and newlines inside them are collapsed too.

    Returns:
        The tokens joined with single blanks.

    Raises:
        DataError: The tokens are one string.
    """
    return _one_line(tokens, "docstring_tokens")


def split_identifiers(text: str) -> str:
    """Splits the identifiers of a source text into lower-case words.

    `HTTPServer.fetch_userName2` becomes `http server . fetch user name2`.

    Args:
        text: Any text, usually from `source_text`.

    Returns:
        Words and runs of signs, joined with single blanks. Splitting it again changes nothing.
    """
    # Lower-casing what is not ASCII comes first: it may turn one letter into several signs, which then are split apart.
    lowered = _NOT_ASCII.sub(lambda match: match.group().lower(), text)
    pieces: list[str] = []
    for piece in _PIECE.findall(lowered):
        pieces += _WORD.findall(piece) or [piece]
    return " ".join(pieces).lower()


def _one_line(tokens: Sequence[str], what: str) -> str:
    if isinstance(tokens, str):
        raise DataError(f"{what} is one string: {tokens[:60]!r}.", "Give a list of tokens.")
    return " ".join(" ".join(tokens).split())


@dataclass
class _Draft:
    """A method while it is being read."""

    name: str
    qualified: str
    comment: str
    start: int
    end: int
    """Bytes of its code."""
    row: int
    last_row: int
    tokens: list[str] = field(default_factory=list)
    heredocs: int = 0
    """Heredocs that have begun and whose body has not come yet."""


class _Reader:
    """One pass over a source that collects methods, comments and what could not be read."""

    def __init__(self, text: str, clock: "_Clock") -> None:
        self.clock = clock
        self.lines = text.split("\n")
        self.data = text.encode()
        self.drafts: list[_Draft] = []
        self.open: list[_Draft] = []
        self.scopes: list[str] = []
        self.around: list[Node] = []
        self.comments: dict[int, tuple[int, str]] = {}  # last row -> first row, text
        self.warnings: dict[int, str] = {}  # line -> message; the first one in a line stays
        self.indents: dict[int, int] = {}  # row -> byte of what it begins with
        self.orphans: list[_Draft] = []  # a `def` that is no method to the parser

    def read(self) -> list[Method]:
        """Visits the whole tree, in order of the text, and returns its methods."""
        for node, entering in _visit(self.data, self.clock):
            if entering:
                self._enter(node)
            else:
                self._leave(node)
        return [
            Method(
                name=draft.name,
                code=self._slice(draft.start, draft.end),
                tokens=tuple(draft.tokens),
                comment=draft.comment,
                line=draft.row + 1,
                qualified=draft.qualified,
            )
            for draft in self.drafts
        ]

    def rescue(self) -> Iterator[Method]:
        """Reads the defs that the parser gave up on by themselves, each up to where its indentation ends."""
        for orphan in self.orphans[:_MAX_RESCUED]:
            block = self._indented_block(orphan)
            for closing in ("", "\nend"):  # the `end` that is missing may be the last one
                first = _Reader(block + closing, self.clock).read()[:1] if len(block) <= _MAX_RESCUED_LENGTH else []
                if first and first[0].line == 1:
                    yield replace(
                        first[0],
                        code=first[0].code.removesuffix(closing).rstrip(),
                        tokens=first[0].tokens[:-1] if closing else first[0].tokens,
                        comment=orphan.comment,
                        line=orphan.row + 1,
                        qualified=orphan.qualified + first[0].name,
                    )
                    break

    def _indented_block(self, orphan: _Draft) -> str:
        """Returns the lines from a `def` on that belong to it if the source is indented as usual, `end` included."""
        first = self.lines[orphan.row]
        indent = len(first) - len(first.lstrip())
        block = [self._slice(orphan.start, len(self.data)).partition("\n")[0]]
        for line in self.lines[orphan.row + 1 :]:
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                block += [line] if line.strip() == "end" else []
                break
            block.append(line)
        return "\n".join(block)

    def _enter(self, node: Node) -> None:
        if node.type == "comment":
            self._keep_comment(node)
            return
        if node.is_error or node.is_missing:
            self._complain(node)
        if _is_leaf(node):
            self._keep_token(node)
            return
        if node.type in _DEFS:
            self._begin(node)
        elif node.type in _SCOPES:
            self.scopes.append(self._name(node))
        self.around.append(node)

    def _leave(self, node: Node) -> None:
        self.around.pop()
        if node.type in _SCOPES:
            self.scopes.pop()
        elif node.type in _DEFS and self.open and self.open[-1].start == node.start_byte:
            self.open.pop()

    def _begin(self, node: Node) -> None:
        name = self._name(node)
        if name and len(self.open) < _MAX_NESTED:
            draft = self._draft(node, name)
            self.drafts.append(draft)
            self.open.append(draft)

    def _draft(self, node: Node, name: str) -> _Draft:
        anchor = node
        for outer in self.around[: -_MAX_DECORATION - 1 : -1]:
            if outer.type not in _DECORATION:
                break
            anchor = outer
        qualified = ".".join([*filter(None, self.scopes[-_MAX_SCOPES:]), name])
        rows = node.start_point.row, node.end_point.row
        return _Draft(name, qualified, self._comment_above(anchor), node.start_byte, node.end_byte, *rows)

    def _keep_token(self, node: Node) -> None:
        owners = self.open
        if node.type == "def" and self.around and self.around[-1].is_error:
            self.orphans.append(self._draft(node, ""))
        elif node.type == "heredoc_body" and not owners and self.drafts:
            # The body of `def x = <<~A` is the only part of a method that stands behind its node.
            last = self.drafts[-1]
            if last.heredocs and last.last_row == node.start_point.row:
                last.end, last.last_row = node.end_byte, node.end_point.row
                owners = [last]
        text = self._slice(node.start_byte, node.end_byte).strip()
        for draft in owners:
            draft.heredocs += (node.type == "heredoc_beginning") - (node.type == "heredoc_body")
            if text:
                draft.tokens.append(text)

    def _keep_comment(self, node: Node) -> None:
        if self._opens_its_line(node):  # otherwise it ends a line of code, and speaks of that
            self.comments[node.end_point.row] = node.start_point.row, self._slice(node.start_byte, node.end_byte)

    def _comment_above(self, node: Node) -> str:
        blocks: list[str] = []
        row = node.start_point.row - 1
        while row in self.comments and self._opens_its_line(node):
            row, text = self.comments[row]
            blocks.append(_without_markers(text))
            row -= 1
        return "\n".join(reversed(blocks)).strip("\n")

    def _complain(self, node: Node) -> None:
        culprit = _culprit(node)
        row = culprit.start_point.row
        if row + 1 not in self.warnings:
            problem = "cannot be read as Ruby"
            if node.is_missing:
                problem = f"`{node.type}` is missing"
            elif culprit.type in _OPENERS:
                problem = f"`{culprit.type}` or something in it is not closed"
            self.warnings[row + 1] = f"{problem}: {self.lines[row].strip()[:60]!r}"

    def _opens_its_line(self, node: Node) -> bool:
        row, column = node.start_point
        if row not in self.indents:  # remembered: one line of 10 MB may hold a million defs
            blank = _BLANK.match(self.data, node.start_byte - column)
            self.indents[row] = blank.end() if blank else 0
        return self.indents[row] >= node.start_byte

    def _name(self, node: Node) -> str:
        name = node.child_by_field_name("name")
        return "".join(self._slice(name.start_byte, name.end_byte).split()).replace("::", ".").strip(".") if name else ""

    def _slice(self, start: int, end: int) -> str:
        return self.data[start:end].decode("utf-8", "replace")


def _culprit(node: Node) -> Node:
    """What an error begins with: its node's first child behind whole comments, methods and classes, which are not to blame."""
    cursor = node.walk()
    more = node.is_error and cursor.goto_first_child()
    while more and (child := cursor.node) is not None:
        if not (child.is_named and child.type in _WHOLE):  # a keyword such as `class` has its node's type, and no name
            return child
        more = cursor.goto_next_sibling()
    return node


class _TooSlowError(Exception):
    """The parser's time is up.

    Args:
        reached: Byte that it had come to.
    """

    def __init__(self, reached: int) -> None:
        super().__init__()
        self.reached = reached


class _Clock:
    """How much computing time, in seconds of this thread, is left to reading; it runs out while the parser works."""

    def __init__(self, allowed: float) -> None:
        self.allowed = allowed
        self._end = thread_time() + allowed

    def parse(self, data: bytes) -> Tree:
        """Parses, unless time runs out: in some texts, such as `=begin` again and again, the grammar is quadratic.

        Raises:
            _TooSlowError: The time is up.
        """
        reached = 0

        def is_over(offset: int, _: bool) -> bool:
            nonlocal reached
            reached = offset
            return thread_time() > self._end

        try:  # only a source that is read in pieces can be broken off
            return Parser(Language(tree_sitter_ruby.language())).parse(
                lambda offset, _: data[offset : offset + _PIECE_BYTES], progress_callback=is_over
            )
        except ValueError as error:
            raise _TooSlowError(reached) from error


def _visit(data: bytes, clock: _Clock) -> Iterator[tuple[Node, bool]]:
    """Yields each node when it is entered, and each that has children once more when it is left.

    Without recursion: sources may be nested deeper than Python's stack.
    """
    cursor = clock.parse(data).walk()
    while True:
        node = cursor.node
        assert node is not None  # a cursor always stands on a node
        yield node, True
        if not _is_leaf(node) and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            parent = cursor.node
            assert parent is not None
            yield parent, False


def _is_leaf(node: Node) -> bool:
    return node.child_count == 0 or node.type in _ONE_TOKEN


def _without_markers(block: str) -> str:
    """Returns the text of a `#` line or a `=begin` block; directives and ruled lines become blank or vanish."""
    lines = block.split("\n")[1:-1] if block.startswith("=begin") else [block.lstrip("#").removeprefix(" ")]
    kept = [line.rstrip() for line in lines if not _DIRECTIVE.match(line.strip())]
    return "\n".join("" if _RULE.match(line.strip()) else line for line in kept)

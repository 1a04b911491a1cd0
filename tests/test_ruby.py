"""Ruby to methods: what people write, what is broken, and the real rows read again."""

import gzip
import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeprune_tui import bundle
from core import ruby
from core.errors import DataError
from core.ruby import (
    Method,
    docstring_tokens,
    first_paragraph,
    methods,
    parse,
    source_text,
    split_identifiers,
    target_text,
)


def only(source: str) -> Method:
    parsed = parse(dedent(source))
    assert not parsed.warnings
    (method,) = parsed.methods
    return method


def names(source: str) -> list[str]:
    return [method.qualified for method in methods(dedent(source))]


def test_a_method_with_everything() -> None:
    method = only(
        """
        module Shop
          class Cart
            # Adds an item.
            #
            # @param item [Item]
            def add(item, *rest)
              # inside
              @items << item if item # trailing
              puts "Added #{item.name}"
            end
          end
        end
        """
    )
    assert method.name == "add"
    assert method.qualified == "Shop.Cart.add"
    assert method.line == 7
    assert method.comment == "Adds an item.\n\n@param item [Item]"
    assert method.code.startswith("def add(item, *rest)\n")
    assert method.code.endswith("\n    end")
    assert method.tokens == (
        *("def", "add", "(", "item", ",", "*", "rest", ")", "@items", "<<", "item", "if", "item"),
        *("puts", '"Added #{item.name}"', "end"),
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def self.make; end", ["make"]),
        ("class A; def A.make; end; end", ["A.make"]),
        ("def A::make; end", ["make"]),
        ("class A; class << self; def make; end; end; end", ["A.make"]),
        ("module A; module B; class C; def d; end; end; end; end", ["A.B.C.d"]),
        ("class A::B < C; def d; end; end", ["A.B.d"]),
        ("class ::A; def d; end; end", ["A.d"]),
        ("def d = 1", ["d"]),
        ("def d(x) = x + 1\ndef e() = d(2)", ["d", "e"]),
        ("def ==(o); end; def []=(k, v); end; def -@; end; def !; end; def `(x); end", ["==", "[]=", "-@", "!", "`"]),
        ("def name=(value); end; def ok?; end; def save!; end", ["name=", "ok?", "save!"]),
        ("def class; end; def self.if; end", ["class", "if"]),
        ("Foo = Struct.new(:a) do\n  def b; end\nend", ["b"]),
        ("items.each { |i| def q; end }", ["q"]),
        ("private def x; end", ["x"]),
        ("private_class_method def self.x; end", ["x"]),
        ("memoize(def x; end, ttl: 3)", ["x"]),
        ("def outer; def inner; end; end", ["outer", "inner"]),
        ("class A; def a; end; class B; def b; end; end; def c; end; end", ["A.a", "A.B.b", "A.c"]),
        ("define_method(:x) { 1 }", []),
        ("def a; end\n__END__\ndef b; end", ["a"]),
        ("# def a; end", []),
        ("x = 'def a; end'", []),
        ("", []),
    ],
)
def test_which_defs_are_methods(source: str, expected: list[str]) -> None:
    assert names(source) == expected
    assert not parse(source).warnings


def test_heredocs_inside_a_body_stay_whole() -> None:
    method = only(
        """
        def query
          run(<<~SQL, <<-'OTHER')
            SELECT * -- def x; end
          SQL
            # no comment
          OTHER
          1
        end
        """
    )
    assert method.tokens[:9] == ("def", "query", "run", "(", "<<~SQL", ",", "<<-'OTHER'", ")", "SELECT * -- def x; end\n  SQL")
    assert method.tokens[9:] == ("# no comment\n  OTHER", "1", "end")
    assert method.code.endswith("OTHER\n  1\nend")


@pytest.mark.parametrize("definition", ["def x = run(<<~A)", "private def x = <<~A", "def x; run(<<~A); end"])
def test_a_heredoc_behind_its_method_belongs_to_it(definition: str) -> None:
    first, second = methods(f"{definition}\n  text\nA\ndef y\n  <<~B\n  other\n  B\nend\n")
    assert first.code == definition.removeprefix("private ") + "\n  text\nA"
    assert first.tokens[-1] == "text\nA"
    assert second.tokens == ("def", "y", "<<~B", "other\n  B", "end")


def test_a_heredoc_behind_a_method_without_one_is_not_its() -> None:
    assert only("def x = 1; run(<<~A)\n  text\nA\n").code == "def x = 1"


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ("# Doc.", "Doc."),
        ("## Doc.\n#   indented\n#no blank", "Doc.\n  indented\nno blank"),
        ("##\n# Doc.\n#\n# More.", "Doc.\n\nMore."),
        ("# Not this.\n\n# Doc.", "Doc."),
        ("# Too far away.\n", ""),
        ("#!/usr/bin/env ruby\n# frozen_string_literal: true\n# encoding: utf-8\n# Doc.", "Doc."),
        ("# -*- coding: utf-8 -*-\n# Doc.\n# :nodoc:\n# rubocop:disable Metrics/AbcSize", "Doc."),
        ("# Encoding: how text is stored.", "Encoding: how text is stored."),
        ("# ------\n# Doc.\n# ======\n# Body", "Doc.\n\nBody"),
        ("=begin\nDoc.\n more\n=end", "Doc.\n more"),
        ("x = 1 # not a doc", ""),
        ("# Doc.\r", "Doc."),
        ("#", ""),
    ],
)
@pytest.mark.parametrize("definition", ["def a; end", "private def a; end", "memoize(def a; end)", "def self.a = 1"])
def test_comment_above(above: str, expected: str, definition: str) -> None:
    (method,) = methods(f"{above}\n{definition}\n")
    assert method.comment == expected


def test_a_comment_above_a_class_is_not_its_methods() -> None:
    assert only("# A class.\nclass A; def b; end; end").comment == ""


def test_first_comment_in_a_class_body() -> None:
    assert only("class A\n  # Doc.\n  def b; end\nend").comment == "Doc."


def test_array_and_regex_tokens() -> None:
    assert only("def a; %w(b c) + x[/d e/i] + %W(f.#{g} h) + `ls -l`; end").tokens == (
        *("def", "a", ";", "%w(", "b", "c", ")", "+", "x", "[", "/d e/i", "]", "+"),
        *("%W(", "f.#{g}", "h", ")", "+", "`ls -l`", ";", "end"),
    )


@pytest.mark.parametrize(
    ("source", "readable", "warnings"),
    [
        ("def foo(x)\n  x + 1\n", [("foo", 1)], ["line 1: `def` or something in it is not closed: 'def foo(x)'"]),
        ("class A\n  def foo\n    1\n", [("foo", 2)], ["line 1: `class` or something in it is not closed: 'class A'"]),
        (
            "class A\n  def a\n    foo(\n  end\n  # Doc.\n  def c\n  end\nend\n",
            [("c", 6)],
            ["line 1: `class` or something in it is not closed: 'class A'"],
        ),
        ("def a(x\n  2\nend\ndef b; end", [("a", 1), ("b", 4)], ["line 1: `)` is missing: 'def a(x'"]),
        (
            "# enc\ndef ok\n  1\nend\n\ndef a(x = 'z'\n  x + 1\n",
            [("ok", 2), ("a", 6)],
            ["line 6: `def` or something in it is not closed: \"def a(x = 'z'\""],
        ),
        ("def a; end\n}}}\ndef b; end", [("a", 1), ("b", 3)], ["line 2: cannot be read as Ruby: '}}}'"]),
        ("def a; end\n\0", [("a", 1)], ["line 2: a NUL or what is not UTF-8 was replaced"]),
        ("x = '\ud800'\ndef a; end", [("a", 2)], ["line 1: a NUL or what is not UTF-8 was replaced"]),
    ],
)
def test_broken_ruby_gives_what_could_be_read(source: str, readable: list[tuple[str, int]], warnings: list[str]) -> None:
    parsed = parse(source)
    assert [(method.name, method.line) for method in parsed.methods] == readable
    assert [str(warning) for warning in parsed.warnings] == warnings


def test_a_def_without_end_keeps_its_comment_scope_and_tokens() -> None:
    (method,) = methods("module M\n  class A; end\n  # Doc.\n  def foo(é)\n    é + 1\n\n")
    assert (method.comment, method.line) == ("Doc.", 4)
    assert method.code == "def foo(é)\n    é + 1"
    assert method.tokens == ("def", "foo", "(", "é", ")", "é", "+", "1")


def test_a_def_with_an_unclosed_body_ends_where_its_indentation_ends() -> None:
    first, second = methods("def a\n  if x\n    y\nend\n\n# Doc.\ndef b\n  1\nend\n")
    assert first.code == "def a\n  if x\n    y\nend"
    assert first.tokens == ("def", "a", "if", "x", "y", "end")
    assert (second.name, second.comment, second.line) == ("b", "Doc.", 7)


def test_byte_order_mark_and_crlf() -> None:
    parsed = parse("\ufeff# Doc.\r\ndef a\r\n  <<~B\r\n  c\r\n  B\r\nend\r\n")
    (method,) = parsed.methods
    assert not parsed.warnings
    assert (method.comment, method.line) == ("Doc.", 2)
    assert method.tokens == ("def", "a", "<<~B", "c\r\n  B", "end")


@pytest.mark.parametrize(
    "source",
    [
        "[" * 50_000 + "]" * 50_000,
        "(" * 50_000,
        "class A;" * 20_000 + "def x; end;" + "end;" * 20_000,
        "def a;" * 20_000 + "end;" * 20_000,
        "# c\n" + "f(" * 5_000 + "def a; end," * 5_000 + "1" + ")" * 5_000,
        "def a;" * 5_000,
        "begin " * 20_000,
        '"#{' * 5_000,
        "<<A " * 5_000,
        "\0" * 50_000,
    ],
    ids=["brackets", "open", "classes", "defs", "calls", "unclosed", "begins", "interpolation", "heredocs", "nul"],
)
def test_deep_nesting_is_no_error(source: str) -> None:
    parse(source)


def test_ten_megabytes_on_one_line() -> None:
    (method,) = methods("def a; '" + "x" * 10_000_000 + "'; end")
    assert len(method.tokens) == 6
    assert len(method.tokens[3]) == 10_000_002


def test_nested_defs_are_counted_up_to_a_depth() -> None:
    assert len(methods("def a;" * 10 + "end;" * 10)) == 3


FRAGMENTS = st.sampled_from(
    [
        *("def ", "def self.", "end\n", "class A\n", "# c\n", "=begin\n", "=end\n", "<<~A", "\nA\n", "do |x|\n", "if "),
        *("private ", "__END__\n", "%w(", '"', "#{", "}", "(", ")", "x", " = ", "/", ";", ":", "\\", "?"),
        *("\r\n", "\0", "\ud800", "é", "\u2028"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(FRAGMENTS, max_size=40).map("".join), st.text(st.characters(codec=None), max_size=200)))
def test_no_source_is_an_error(source: str) -> None:
    parsed = parse(source)
    lines = source.count("\n") + 1
    assert [method.line for method in parsed.methods] == sorted(method.line for method in parsed.methods)
    for method in parsed.methods:
        assert method.name
        assert method.code.startswith("def")
        assert method.tokens[0] == "def"
        assert 1 <= method.line <= lines
        assert method.qualified.endswith(method.name)
        json.dumps(method.tokens).encode("utf-8")
        docstring_tokens(method.comment)
    for warning in parsed.warnings:
        assert 1 <= warning.line <= lines
        assert warning.message.isprintable()


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("One\n two.\n\nThree.", "One\ntwo."),
        ("One\n@param x [Y]", "One"),
        ("One\n @!visibility private", "One"),
        ("Mail to a@b.c", "Mail to a@b.c"),
        ("\n\nOne", "One"),
        ("@return [X] a thing", ""),
        ("", ""),
    ],
)
def test_first_paragraph(comment: str, expected: str) -> None:
    assert first_paragraph(comment) == expected


def test_docstring_tokens() -> None:
    comment = 'Calls Foo::Bar#baz(), e.g. with "x", y[] -- or {a => 1}.\n\nMore.'
    assert docstring_tokens(comment) == [
        *("Calls", "Foo", "::", "Bar#baz", "()", "e", ".", "g", ".", "with", "x", "y", "[]", "--", "or"),
        *("{", "a", "=", ">", "1", "}", "."),
    ]


def test_texts_are_one_line() -> None:
    assert source_text(["def", "a", '"x  \n y"', "end"]) == 'def a "x y" end'
    assert target_text(["Gets", " it\t", "."]) == "Gets it ."
    assert source_text([]) == ""


def test_a_string_instead_of_tokens_is_refused() -> None:
    with pytest.raises(DataError, match=r"code_tokens is one string: 'def a'.*list of tokens"):
        source_text("def a")
    with pytest.raises(DataError, match="docstring_tokens is one string"):
        target_text("Gets it")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTPServer.fetch_userName2", "http server . fetch user name2"),
        ("@ivar @@count $out ::Const :sym", "@ ivar @@ count $ out :: const : sym"),
        ("include? save! name=", "include ? save ! name ="),
        ("MAX_SIZE parseJSON URLs ISO8601", "max size parse json urls iso8601"),
        ("each do | _ , x |", "each do | _ , x |"),
        ("__dir__ _tmp", "dir tmp"),
        ('"Unknown #{userName}"', '" unknown #{ user name }"'),
        ("größteZahl ÉtatCivil", "größte zahl état civil"),
        ("", ""),
    ],
)
def test_split_identifiers(text: str, expected: str) -> None:
    assert split_identifiers(text) == expected


@settings(max_examples=500)
@given(st.one_of(st.text(), st.text("aBC_9 .:@é")))
def test_splitting_twice_changes_nothing(text: str) -> None:
    once = split_identifiers(text)
    assert split_identifiers(once) == once
    assert once == " ".join(once.split())
    assert not any("A" <= letter <= "Z" for letter in once)


def rows_of(folder: Path, split: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize("split", ["train", "test"])
def test_real_methods_give_the_tokens_of_the_data(ruby_data: Path, split: str) -> None:
    rows = rows_of(ruby_data, split)
    read = [parse(row["code"]).methods[0] for row in rows]
    assert [list(method.tokens) for method in read] == [row["code_tokens"] for row in rows]
    assert [method.code for method in read] == [row["code"] for row in rows]
    assert [method.name for method in read] == [row["func_name"].rpartition(".")[2] for row in rows]


def test_official_rows_give_nearly_the_same_tokens(ruby_data: Path) -> None:
    """The official rows come from a grammar of 2019, which dropped `&` and `*` before arguments and cut regexes to bits."""
    rows = rows_of(ruby_data, "valid")
    read = [parse(row["code"]).methods[0] for row in rows]
    assert [method.code for method in read] == [row["code"] for row in rows]
    same = [
        list(method.tokens) == [token for token in row["code_tokens"] if not token.startswith("#")]
        for method, row in zip(read, rows, strict=True)
    ]
    assert sum(same) / len(same) >= 0.85


@pytest.mark.parametrize(("split", "share"), [("train", 0.999), ("test", 1), ("valid", 0.997)])
def test_real_comments_give_the_tokens_of_the_data(ruby_data: Path, split: str, share: float) -> None:
    rows = rows_of(ruby_data, split)
    same = sum(docstring_tokens(row["docstring"]) == row["docstring_tokens"] for row in rows)
    assert same / len(rows) >= share


def test_a_source_that_the_grammar_is_quadratic_in_is_read_until_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ruby, "_SECONDS", 0.5)  # whole, it would take minutes
    parsed = parse("# Adds.\ndef a; 1; end\n" + "=begin\n" * 80_000)
    assert [method.name for method in parsed.methods] == ["a"]
    assert "took more than" in parsed.warnings[-1].message
    assert "from here on nothing is read" in parsed.warnings[-1].message
    assert 2 < parsed.warnings[-1].line < 80_000


def test_a_long_source_is_read_in_parts_as_it_would_be_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [file.read_text() for file in sorted((bundle.folder() / "demo-ruby" / "valid").rglob("*.rb"))]
    text = "\n".join([*sources, "class Open\n  def a\n    <<~TEXT\nend\n    TEXT\n  end\n", "end\n" * 3, *sources])
    whole = parse(text)
    monkeypatch.setattr(ruby, "_PART_LENGTH", 2_000)
    assert len(text) > 10 * ruby._PART_LENGTH
    assert parse(text).methods == whole.methods


def test_a_part_ends_where_a_definition_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ruby, "_PART_LENGTH", 10)
    source = "module A\n  # One.\n  def a\n  end\nend\n\n# Two.\ndef b\n  'é' * 2\nend\n# Three.\nclass C\n  def c; end\nend"
    assert [(m.qualified, m.comment, m.line) for m in parse(source).methods] == [
        ("A.a", "One.", 3),
        ("b", "Two.", 8),
        ("C.c", "", 13),
    ]

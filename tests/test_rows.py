"""Rows: the exact texts, every way a row or a split can be broken, and the real data."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.ruby import source_text, target_text
from core.text.content import oddity
from core.text.rows import BrokenRow, Row, load_rows

GOOD = {
    "func_name": "A.b",
    "code": "def b\nend",
    "code_tokens": ["def", "b", "end"],
    "docstring_tokens": ["Does", "it", "."],
    "path": "a.rb",
}


def write(folder: Path, *lines: object, split: str = "train") -> str:
    """Make a data folder of one split; bytes go in as they are, all else as JSON."""
    folder.mkdir(exist_ok=True)
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (folder / f"{split}.jsonl").write_bytes(b"\n".join(raw) + b"\n" * bool(raw))
    return str(folder)


def without(field: str) -> dict[str, object]:
    return {key: value for key, value in GOOD.items() if key != field}


def error_of(path: str, split: str = "train", **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load_rows(path, split, **options)  # type: ignore[arg-type]
    assert caught.value.fix, "every error tells the fix"
    return str(caught.value)


def test_a_row_holds_what_the_file_says(tmp_path: Path) -> None:
    rows = load_rows(write(tmp_path, GOOD), "train")
    assert rows.rows == (Row("A.b", "def b end", "Does it .", "def b\nend", 0, "a.rb"),)
    assert rows.broken == ()


def test_texts_are_joined_with_single_blanks(tmp_path: Path) -> None:
    row = GOOD | {"code_tokens": [" x", "=", "<<A\n  one \t two\nA\n", ""], "docstring_tokens": ["a\nb", " ", "c\u00a0d"]}
    (read,) = load_rows(write(tmp_path, row), "train").rows
    assert read.source == "x = <<A one two A"
    assert read.target == "a b c d"


@given(st.lists(st.text(alphabet="ab \n\t_é"), min_size=1))
def test_jsonl_and_ruby_files_are_joined_alike(tmp_path_factory: pytest.TempPathFactory, tokens: list[str]) -> None:
    row = GOOD | {"code_tokens": ["x", *tokens], "docstring_tokens": ["x", *tokens]}
    (read,) = load_rows(write(tmp_path_factory.mktemp("data"), row), "train").rows
    assert read.source == source_text(["x", *tokens])
    assert read.target == target_text(["x", *tokens])


def test_name_code_and_path_may_be_missing(tmp_path: Path) -> None:
    row = {"code_tokens": ["x"], "docstring_tokens": ["y"], "path": None}
    (read,) = load_rows(write(tmp_path, row), "train").rows
    assert (read.name, read.code, read.path) == ("", "", "")


def test_blank_lines_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    rows = load_rows(write(tmp_path, b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), b"", b"  \r", GOOD), "train")
    assert [row.index for row in rows.rows] == [0, 1]


def test_gzip_reads_like_plain(tmp_path: Path) -> None:
    plain = load_rows(write(tmp_path / "plain", GOOD, GOOD), "train")
    (tmp_path / "packed").mkdir()
    packed = tmp_path / "packed" / "train.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "plain" / "train.jsonl").read_bytes()))
    assert load_rows(str(packed.parent), "train") == plain


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{nonsense", "not JSON (Expecting property name"),
        (b'{"code_tokens": ["\xff"]}', "not UTF-8 (byte 19 of the line)"),
        (b"[" * 200_000, "not JSON of a row (nested too deeply)"),
        (b"9" * 5000, "not JSON (Exceeds the limit"),
        ([1], "not a JSON object but a list"),
        (None, "not a JSON object but null"),
        (without("code_tokens"), "code_tokens is missing (the row's fields: 'func_name', 'code', 'docstring_tokens', 'path')"),
        (without("docstring_tokens"), "docstring_tokens is missing"),
        ({}, "code_tokens is missing (the row's fields: none)"),
        (GOOD | {"code_tokens": "def b"}, "code_tokens must be a list of strings, but is a string"),
        (GOOD | {"code_tokens": ["def", 1]}, "code_tokens must be a list of strings, but item 1 is a number"),
        (GOOD | {"docstring_tokens": ["x", None]}, "docstring_tokens must be a list of strings, but item 1 is null"),
        (GOOD | {"code_tokens": []}, "code_tokens holds no text"),
        (GOOD | {"docstring_tokens": [" ", "\n"]}, "docstring_tokens holds no text"),
        (GOOD | {"func_name": 3}, "func_name must be a string, but is a number"),
        (GOOD | {"code": {"a": 1}}, "code must be a string, but is an object"),
        (GOOD | {"docstring_tokens": ["\ud800"]}, "a text holds half of a surrogate pair, which is no character"),
    ],
)
def test_a_broken_row_stops_or_is_counted(tmp_path: Path, line: object, problem: str) -> None:
    path = write(tmp_path, GOOD, b"", line, GOOD)
    file = str(tmp_path / "train.jsonl")
    text = error_of(path)
    assert f"{file}, line 3: {problem}" in text
    assert 'data.on_broken_row = "skip"' in text
    rows = load_rows(path, "train", on_broken="skip")
    assert [row.index for row in rows.rows] == [0, 2], "a row keeps its place when others are left out"
    (broken,) = rows.broken
    assert isinstance(broken, BrokenRow)
    assert (broken.file, broken.line) == (file, 3)
    assert broken.problem.startswith(problem)


def test_a_limit_ends_the_reading(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, GOOD, b"broken")
    assert len(load_rows(path, "train", limit=2).rows) == 2
    assert "line 3" in error_of(path, limit=3)


def test_the_digest_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    first = load_rows(write(tmp_path / "a", GOOD, GOOD), "train").digest
    assert load_rows(write(tmp_path / "b", GOOD, GOOD, split="valid"), "valid").digest == first
    assert load_rows(str(tmp_path / "a"), "train", limit=1).digest != first
    for field in GOOD:
        other = "other" if isinstance(GOOD[field], str) else ["other"]
        assert load_rows(write(tmp_path / "c", GOOD, GOOD | {field: other}), "train").digest != first, field


@pytest.mark.parametrize("keep", [10, 60, -4])
def test_a_truncated_gzip_is_refused_in_both_modes(tmp_path: Path, keep: int) -> None:
    packed = gzip.compress(b"".join(json.dumps(GOOD | {"path": f"{n * n}.rb"}).encode() + b"\n" for n in range(50)))
    (tmp_path / "train.jsonl.gz").write_bytes(packed[:keep])
    for mode in ("stop", "skip"):
        text = error_of(str(tmp_path), on_broken=mode)
        assert f"{tmp_path}/train.jsonl.gz cannot be read beyond line " in text
        assert "download it again" in text


def test_a_gzip_that_is_none_or_damaged_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl.gz"
    file.write_bytes(b"no rows, and not gzip")
    assert "cannot be read beyond line 0: Not a gzipped file" in error_of(str(tmp_path))
    packed = bytearray(gzip.compress(json.dumps(GOOD).encode() * 3))
    packed[len(packed) // 2] ^= 255
    file.write_bytes(packed)
    assert "cannot be read beyond line" in error_of(str(tmp_path))


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    assert f"The split train of {tmp_path} holds no row." in error_of(write(tmp_path))
    (tmp_path / "test.jsonl.gz").write_bytes(b"")
    assert "The split test of" in error_of(str(tmp_path), "test")


def test_a_split_of_broken_rows_names_the_first(tmp_path: Path) -> None:
    text = error_of(write(tmp_path, b"x", b"y"), on_broken="skip")
    assert "holds no usable row: all 2 are broken, the first at" in text
    assert "line 1: not JSON" in text
    assert "code_tokens and docstring_tokens" in text


def test_a_missing_folder_gets_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "ruby", GOOD)
    text = error_of(str(tmp_path / "rubby"))
    assert f"There is no folder {tmp_path / 'rubby'}" in text
    assert f"Did you mean {tmp_path / 'ruby'}?" in text
    assert f"Did you mean {tmp_path / 'ruby' / 'deep'}?" in error_of(str(tmp_path / "rubyy" / "deep"))
    assert "Did you mean" not in error_of(str(tmp_path / "zzz"))
    assert f"There is no folder {tmp_path}/zzz/deep; the nearest folder that exists is {tmp_path}. Give" in error_of(
        str(tmp_path / "zzz" / "deep")
    )


def test_a_relative_path_whose_parent_exists_is_no_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ruby", GOOD)
    assert "Did you mean ruby?" in error_of("rubi")
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "ruby", GOOD)
    assert "Did you mean data/ruby?" in error_of("data/rubi")
    assert len(load_rows("data/ruby", "train").rows) == 1
    assert "Did you mean" not in error_of("../no-such-folder")


def test_a_folder_that_cannot_be_looked_into_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    assert f"{tmp_path} cannot be read: [Errno 13] Permission denied. Check the name and its permissions" in error_of(
        str(tmp_path)
    )
    assert "~no-such-user-here/x cannot be read:" in error_of("~no-such-user-here/x")


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    text = error_of(str(tmp_path / "train.jsonl"))
    assert text == f"{tmp_path}/train.jsonl is a file, not a folder. Give the folder it lies in: {tmp_path}."
    assert "train.jsonl" in error_of(str(tmp_path / "train.jsonl" / "deeper"))


def test_a_missing_split_lists_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "valid.jsonl.gz").write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    (tmp_path / "more").mkdir()
    text = error_of(str(tmp_path), "test")
    assert f"{tmp_path} holds no test.jsonl, test.jsonl.gz or folder test of Ruby files." in text
    assert "There: the splits train, valid and the folders more." in text
    assert "There: nothing that could be a split." in error_of(str(tmp_path / "more"), "test")


RUBY = """
module Greeter
  class Polite
    # Greets the user by name.
    #
    # @param name [String] whom
    def greet(name)
      puts "Hello,   #{name}"
    end

    # :nodoc:
    def hidden; end

    # Short.
    def short; end

    # LICENCE
    def licence; end

    def plain; end
  end
end
"""


def test_rows_come_from_documented_methods_of_ruby_files(tmp_path: Path) -> None:
    deep = tmp_path / "train" / "lib"
    deep.mkdir(parents=True)
    (deep / "b.rb").write_text(RUBY.replace("LICENCE", "all rights reserved " * 90))
    (tmp_path / "train" / "a.rb").write_text("# Returns the answer to all.\ndef answer = 42\n")
    (tmp_path / "train" / "notes.txt").write_text("# Not a Ruby file.\ndef no; end\n")
    rows = load_rows(str(tmp_path), "train").rows
    assert [(row.name, row.index, row.path) for row in rows] == [("answer", 0, "a.rb"), ("Greeter.Polite.greet", 1, "lib/b.rb")]
    assert [row.target for row in rows] == ["Returns the answer to all .", "Greets the user by name ."]
    assert rows[1].source.startswith("def greet ( name ) puts")
    assert rows[1].code.startswith("def greet(name)\n")


def test_a_ruby_file_that_is_not_utf8_is_broken(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.rb").write_bytes(b"# Says a word in\n# Latin-1: \xe9\ndef a; end\n")
    (tmp_path / "train" / "b.rb").write_text("# Says a word in UTF-8.\ndef b; end\n")
    file = str(tmp_path / "train" / "a.rb")
    assert f"{file}, line 2: not UTF-8." in error_of(str(tmp_path))
    rows = load_rows(str(tmp_path), "train", on_broken="skip")
    assert rows.broken == (BrokenRow(file, 2, "not UTF-8"),)
    assert [row.name for row in rows.rows] == ["b"]


def test_a_ruby_folder_without_comments_is_empty(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.rb").write_text("def a; end\n")
    assert "holds no row. Fill it with jsonl rows, or with Ruby files" in error_of(str(tmp_path))


def hub(monkeypatch: pytest.MonkeyPatch, answer: object) -> list[tuple[object, ...]]:
    """Put a `datasets` in place that answers (or raises) `answer`; gives the list of what it was asked."""
    requests: list[tuple[object, ...]] = []

    def load_dataset(name: str, config: str, split: str) -> object:
        requests.append((name, config, split))
        if isinstance(answer, Exception):
            raise answer
        return answer

    module = ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    module.exceptions = SimpleNamespace(DatasetsError=LookupError)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setattr("core.text.rows.why_unreachable", lambda: "")
    return requests


def test_the_hub_is_asked_for_a_name_with_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = hub(monkeypatch, [GOOD, GOOD])
    rows = load_rows("google/code_x_glue_ct_code_to_text", "valid")
    assert requests == [("google/code_x_glue_ct_code_to_text", "ruby", "validation")]
    assert [row.source for row in rows.rows] == ["def b end"] * 2


def test_a_broken_row_of_the_hub_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, [GOOD, without("code_tokens")])
    assert "some/data (go, train), line 2: code_tokens is missing" in error_of("some/data", hub_config="go")


@pytest.mark.parametrize(
    "answer",
    [ConnectionError("Couldn't reach it\non the Hub."), ValueError("Unknown split"), LookupError("gone")],
)
def test_a_hub_out_of_reach_tells_the_fix(monkeypatch: pytest.MonkeyPatch, answer: Exception) -> None:
    hub(monkeypatch, answer)
    text = error_of("some/data")
    reason = " ".join(str(answer).split()).rstrip(".")
    assert (
        f"There is no folder some/data, and some/data (ruby, train) cannot be read from the Hugging Face hub: {reason}. " in text
    )
    assert "Check the name, the split and the network, or download the rows" in text


def test_the_real_datasets_offline_is_a_clear_error() -> None:
    # A process of its own: `datasets` reads HF_HUB_OFFLINE when it is imported.
    code = "from core.text.rows import load_rows\nload_rows('google/code_x_glue_ct_code_to_text', 'valid')"
    root = Path(__file__).resolve().parent.parent
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "core.errors.DataError: There is no folder google/code_x_glue_ct_code_to_text" in done.stderr
    assert "cannot be read from the Hugging Face hub" in done.stderr


def test_reading_rows_needs_no_torch() -> None:
    code = "import sys, core.text.rows; print({'torch', 'transformers', 'datasets', 'tree_sitter'} & set(sys.modules))"
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("split", "count"), [("train", 15_120), ("valid", 1_400), ("test", 1_022)])
def test_the_real_rows_are_all_there(ruby_data: Path, split: str, count: int) -> None:
    rows = load_rows(str(ruby_data), split)
    assert len(rows.rows) == count
    assert rows.broken == ()
    assert all(row.source and row.target and row.name and row.code and row.path for row in rows.rows)
    assert not any("\n" in row.source + row.target or "  " in row.source + row.target for row in rows.rows)
    assert [row.index for row in rows.rows] == list(range(count))


def test_rows_with_shorter_comments_are_left_out_and_counted_against_no_limit(tmp_path: Path) -> None:
    comments = ["Adds", "Adds two numbers .", "Says it", "Gives the sum of all items ."]
    lines = [json.dumps({"code_tokens": ["def", "a"], "docstring_tokens": text.split()}) for text in comments]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    assert [row.index for row in load_rows(str(tmp_path), "train", shortest=4).rows] == [1, 3]
    assert [row.index for row in load_rows(str(tmp_path), "train", shortest=2, limit=2).rows] == [1, 2]
    with pytest.raises(DataError, match="has 8 words; the longest has 7") as caught:
        load_rows(str(tmp_path), "train", shortest=8)
    assert caught.value.fix == "Set data.shortest_comment to 7 or less."


def test_a_row_of_many_megabytes_is_broken_and_not_kept(tmp_path: Path) -> None:
    huge = {**GOOD, "code": "x" * 9_000_000}
    write(tmp_path, GOOD, huge, GOOD)
    with pytest.raises(DataError, match=r"line 2: longer than 8 MB\. Mend the row"):
        load_rows(str(tmp_path), "train")
    rows = load_rows(str(tmp_path), "train", on_broken="skip")
    assert [row.index for row in rows.rows] == [0, 2]
    assert [(row.line, row.problem) for row in rows.broken] == [(2, "longer than 8 MB")]


@pytest.mark.parametrize("lines", [1, 1_500], ids=["one line", "many lines"])
def test_what_unpacks_to_far_more_than_rows_do_is_refused_unless_it_is_meant_so(tmp_path: Path, lines: int) -> None:
    with gzip.open(tmp_path / "train.jsonl.gz", "wb", 1) as file:
        file.write(json.dumps(GOOD).encode() + b"\n")
        for _ in range(lines):
            file.write(b"{" + b" " * (150_000_000 // lines) + b"}\n")
    with pytest.raises(DataError, match=r"unpacks to more than 100 times its size.*data\.unpack_limit = 0.*gunzip -k train"):
        load_rows(str(tmp_path), "train", on_broken="skip")
    rows = load_rows(str(tmp_path), "train", on_broken="skip", unpack_limit=0)
    assert (len(rows.rows), len(rows.broken)) == (1, lines)


def test_a_pipe_in_place_of_a_split_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.jsonl")
    with pytest.raises(DataError, match="holds no train"):
        load_rows(str(tmp_path), "train")


# --- other layouts


def named(*names: str) -> list[dict[str, object]]:
    return [GOOD | {"func_name": name} for name in names]


def names_of(path: Path, split: str) -> list[tuple[str, int]]:
    return [(row.name, row.index) for row in load_rows(str(path), split).rows]


@pytest.mark.parametrize("below", ["final/jsonl", "jsonl", "."])
def test_code_search_nets_files_are_one_split_in_the_order_of_their_numbers(tmp_path: Path, below: str) -> None:
    folder = tmp_path / below / "train"
    folder.mkdir(parents=True)
    for number in (0, 2, 10):
        packed = gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in named(f"{number}a", f"{number}b")))
        (folder / f"ruby_train_{number}.jsonl.gz").write_bytes(packed)
    assert names_of(tmp_path, "train") == [
        (f"{n}{part}", 2 * p + q) for p, n in enumerate((0, 2, 10)) for q, part in enumerate("ab")
    ]


@pytest.mark.parametrize("place", ["validation-00000-of-00001.parquet", "data/valid.parquet", "valid/0.parquet"])
def test_parquet_as_the_hub_has_it(tmp_path: Path, place: str) -> None:
    import pyarrow
    from pyarrow import parquet

    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist([row | {"sha": "x"} for row in named("a", "b")]), file)
    assert names_of(tmp_path, "valid") == [("a", 0), ("b", 1)]
    write(tmp_path / "same", *named("a", "b"), split="valid")
    assert load_rows(str(tmp_path), "valid").digest == load_rows(str(tmp_path / "same"), "valid").digest
    file.write_bytes(file.read_bytes()[:-20])
    assert f"{file} cannot be read as parquet" in error_of(str(tmp_path), "valid")


def test_several_parquet_files_are_one_split(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    for number in range(2):
        table = pyarrow.Table.from_pylist(named(f"{number}a"))
        parquet.write_table(table, tmp_path / f"train-0000{number}-of-00002.parquet")
    assert names_of(tmp_path, "train") == [("0a", 0), ("1a", 1)]
    assert "There: the splits train." in error_of(str(tmp_path), "test")


def test_folders_of_save_to_disk(tmp_path: Path) -> None:
    import datasets

    stored = datasets.DatasetDict(
        train=datasets.Dataset.from_list(named("a", "b")), validation=datasets.Dataset.from_list(named("c"))
    )
    stored.save_to_disk(str(tmp_path / "all"))
    assert names_of(tmp_path / "all", "train") == [("a", 0), ("b", 1)]
    assert names_of(tmp_path / "all", "valid") == [("c", 0)]
    assert "is one saved data set without splits" in error_of(str(tmp_path / "all" / "train"))
    next((tmp_path / "all" / "train").glob("*.arrow")).write_bytes(b"broken")
    assert "cannot be read as a saved data set" in error_of(str(tmp_path / "all"))


def test_validation_is_a_name_of_valid(tmp_path: Path) -> None:
    write(tmp_path, *named("a"), split="validation")
    assert names_of(tmp_path, "valid") == [("a", 0)]
    write(tmp_path, *named("b"), split="valid")
    assert names_of(tmp_path, "valid") == [("b", 0)]


def test_gzip_under_the_wrong_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert len(load_rows(str(tmp_path), "train").rows) == 1


def test_plain_rows_under_the_name_of_gzip_are_read(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl.gz").write_bytes(b"\n" + json.dumps(GOOD).encode() + b"\n")
    assert len(load_rows(str(tmp_path), "train").rows) == 1


def test_gzip_in_place_of_ruby_says_how_to_unpack_it() -> None:
    assert oddity(gzip.compress(b"def a; end\n"), "a.rb") == ("is gzipped", "Unpack it first: gunzip -c a.rb")


def test_an_archive_in_place_of_the_splits_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset.zip").write_bytes(b"PK\x03\x04")
    text = error_of(str(tmp_path))
    assert "but dataset.zip. Unpack dataset.zip, and give the folder with its splits." in text
    write(tmp_path, GOOD, split="valid")
    assert "There: the splits valid" in error_of(str(tmp_path))


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for name in ("train.jsonl", "valid.jsonl.gz", "test.parquet"):
        (tmp_path / name).write_bytes(pointer)
        text = error_of(str(tmp_path), name.partition(".")[0])
        assert f"{tmp_path}/{name} is a git-lfs pointer, not the file itself. Fetch it where it was cloned: git lfs pull" in text


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_told_as_such(tmp_path: Path, coding: str) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.rb").write_bytes("# Says a word to you.\ndef a; end\n".encode(coding))
    assert "a.rb, line 1: UTF-16, not UTF-8 (iconv -f UTF-16 -t UTF-8 converts it)." in error_of(str(tmp_path))
    (tmp_path / "test.jsonl").write_bytes(json.dumps(GOOD).encode(coding))
    assert "test.jsonl is UTF-16 text, but only UTF-8 is read. Convert it with: iconv" in error_of(str(tmp_path), "test")

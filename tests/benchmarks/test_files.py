import pytest

from evalharness.benchmarks.files import read_file
from evalharness.errors import InputError

ROWS = [{"problem": "1+1? \u2028 é", "gold": "2"}, {"problem": 'a,\n"b"', "gold": "3"}]


def write_jsonl(path):
    path.write_text(
        '{"problem": "1+1? \u2028 é", "gold": "2"}\n\n{"problem": "a,\\n\\"b\\"", "gold": "3"}\n',
        encoding="utf-8",
    )


def write_json(path):
    path.write_text(
        '\ufeff[{"problem": "1+1? \u2028 é", "gold": "2"},\n'
        '{"problem": "a,\\n\\"b\\"", "gold": "3"}]',
        encoding="utf-8",
    )


def write_csv(path):
    path.write_text('problem,gold\n1+1? \u2028 é,2\n"a,\n""b""",3\n', encoding="utf-8")


def write_parquet(path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize(
    ("write", "places"),
    [
        # A blank line is no row, and the next row keeps its own line number.
        (write_jsonl, [":1", ":3"]),
        (write_json, [": row 0", ": row 1"]),
        (write_csv, [":2", ":4"]),
        (write_parquet, [": row 0", ": row 1"]),
    ],
)
def test_every_format_gives_the_same_rows_and_says_where_they_stand(tmp_path, write, places):
    path = tmp_path / f"toy.{write.__name__.removeprefix('write_')}"
    write(path)
    rows = read_file(path)
    assert [dict(row.cells) for row in rows] == ROWS
    assert [row.place for row in rows] == [f"{path}{place}" for place in places]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl:1: a row must be an object"),
        ("a.jsonl", b"\n", "no rows"),
        ("a.jsonl", b"\xff\xfe", "can't be read"),
        ("a.json", b'[{"a": 1},\n}]', "a.json:2: not valid JSON"),
        ("a.json", b'{"a": 1}', "must be a list"),
        ("a.json", b"[1]", "row 0: a row must be an object"),
        ("a.json", b"[]", "no rows"),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv:2: the header has 2 columns"),
        ("a.csv", b"a,b\n1\n", "a.csv:2: the header has 2 columns"),
        ("a.csv", b'a,b\n1,"x"y\n', "a.csv: after line 1: not valid CSV"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.parquet", b"PAR1 no parquet", "not a valid parquet file"),
        ("a.txt", b"x", "ends in one of .jsonl, .json, .parquet, .csv"),
    ],
)
def test_broken_file_is_named_with_its_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_file(tmp_path / name)


def test_a_cell_of_a_csv_may_be_longer_than_the_module_s_limit(tmp_path):
    # Python's own limit is 131,072 letters; a response of 32,000 tokens has about as many.
    import csv

    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("problem,gold\n" + "x" * 140_000 + ",1\n")
    [row] = read_file(tmp_path / "a.csv")
    assert len(row.cells["problem"]) == 140_000
    assert csv.field_size_limit() == before

import re

import pytest

from evalharness.benchmarks.definition import definition_paths, folded, read_definition
from evalharness.benchmarks.sources import HubDataset, LocalFile, PublishedFile
from evalharness.checking.policy import Policy
from evalharness.errors import InputError

FILE = '[[sources]]\nfile = "toy.jsonl"\n'
TOP = 'title = "Toy"\nnum_problems = 3\n'


def read(folder, text):
    path = folder / "toy.toml"
    path.write_text(text)
    return read_definition(path)


def test_definition_reads_every_kind_of_source_in_order(tmp_path):
    definition = read(
        tmp_path,
        f"""{TOP}
[[sources]]
repository = "a/b"
commit = "{"0" * 40}"
path = "x/y.arrow"
sha256 = "{"1" * 64}"

[[sources]]
hub = "c/d"
config = "main"
split = "test"
revision = "abc"
problem_column = "question"
where = {{ url = "2024" }}

{FILE}""",
    )
    assert definition.name == "toy"
    assert definition.sources == (
        PublishedFile(repository="a/b", commit="0" * 40, path="x/y.arrow", sha256="1" * 64),
        HubDataset(
            hub="c/d",
            config="main",
            split="test",
            revision="abc",
            where={"url": "2024"},
            columns={"problem_column": "question"},
        ),
        LocalFile(path=tmp_path / "toy.jsonl"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("titel = 1\n" + TOP + FILE, 'toy.toml:1: unknown key "titel"; did you mean "title"?'),
        (TOP, "no [[sources]] table"),
        (TOP + 'gold_rule = "intger"\n' + FILE, 'toy.toml:3: unknown gold rule "intger"'),
        (TOP + 'fingerprint = "abc"\n' + FILE, 'toy.toml:3: "fingerprint" must be hex'),
        ('title = "T"\nnum_problems = 0\n' + FILE, 'toy.toml:2: "num_problems" must be'),
        (TOP + "sources = [1]\n", 'toy.toml:3: "sources" must be tables'),
        (TOP + "[[sources]]\n", 'toy.toml:3: a source has exactly one of "repository"'),
        (TOP + FILE + 'hub = "a/b"\n', "exactly one of"),
        (TOP + FILE + 'splt = "x"\n', 'toy.toml:5: unknown key "splt"'),
        (
            TOP + '[[sources]]\nrepository = "a/b"\ncommit = "main"\npath = "x"\nsha256 = "1"\n',
            'toy.toml:5: "commit" must be hex',
        ),
        (
            TOP + '[[sources]]\nrepository = "a/b"\npath = "../x"\n',
            'toy.toml:5: "path" must stay inside',
        ),
        (TOP + '[[sources]]\nhub = "a/b"\nwhere = { url = 1 }\n', '"where" must give a text'),
        (TOP + FILE + '[[errata]]\nrow = 3\ngolds = ["1"]\n', "the rows go from 0 to 2"),
        (TOP + FILE + "[[errata]]\nrow = 0\n", 'either "golds" or "unanswerable = true"'),
        (
            TOP + FILE + '[[errata]]\nrow = 0\ngolds = ["1"]\nunanswerable = true\n',
            'either "golds" or "unanswerable = true"',
        ),
        (
            TOP + FILE + '[[errata]]\nrow = 0\ngolds = ["1"]\nreason = " "\nsource = "x"\n',
            "needs its reason and its source",
        ),
        (
            TOP + FILE + '[[errata]]\nrow = 0\ngolds = [" "]\nreason = "r"\nsource = "x"\n',
            "erratum of row 0: the gold is empty",
        ),
        (
            TOP + FILE + '[[errata]]\nrow = 0\ngolds = ["1"]\nreason = "r"\nsource = "x"\n' * 2,
            "two errata for row 0",
        ),
    ],
)
def test_wrong_definition_is_named_with_file_and_line(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read(tmp_path, text)


def test_row_hashes_must_be_as_many_as_the_problems(tmp_path):
    (tmp_path / "toy.rows").write_text("00000000 00000000\n" * 2)
    with pytest.raises(InputError, match=r"toy\.rows: 2 lines for 3 problems"):
        read(tmp_path, TOP + FILE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"00000000 00000000\n0000000g 00000000\n00000000 00000000\n", "toy.rows:2: must be"),
        (b"00000000\n" * 3, "toy.rows:1: must be the hashes"),
        ("é 0000000\n".encode() * 3, "toy.rows: can't be read"),
    ],
)
def test_damaged_row_hashes_are_named_with_their_line(tmp_path, content, message):
    (tmp_path / "toy.rows").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path, TOP + FILE)


SHIPPED = [read_definition(path) for path in definition_paths()]
COUNTS = {
    "aime24": 30,
    "amc": 83,
    "math500": 500,
    "minerva": 272,
    "olympiadbench": 675,
    "gsm8k": 1319,
    "gsm8k-train": 7473,
    "aime25": 30,
    "amc23": 40,
}


def test_shipped_benchmarks_have_their_published_counts():
    counts = {definition.name: definition.num_problems for definition in SHIPPED}
    assert {name: counts.get(name) for name in COUNTS} == COUNTS


@pytest.mark.parametrize("definition", SHIPPED, ids=lambda definition: definition.name)
def test_shipped_definition_pins_what_it_loads(definition):
    assert definition.num_problems is not None
    assert definition.fingerprint is not None
    assert definition.licence
    assert definition.description
    first = definition.sources[0]
    if isinstance(first, PublishedFile):
        assert definition.row_hashes is not None
        assert isinstance(definition.sources[1], HubDataset)
        assert all(re.fullmatch("[0-9a-f]{8} [0-9a-f]{8}", row) for row in definition.row_hashes)


def test_no_two_benchmarks_share_a_name_or_an_alias():
    names = [
        folded(name)
        for definition in SHIPPED
        for name in {folded(given): given for given in (definition.name, *definition.aliases)}
    ]
    assert sorted(names) == sorted(set(names))


def test_errata_are_the_34_minerva_rows_and_4_olympiad_rows():
    rows = {definition.name: sorted(definition.errata) for definition in SHIPPED}
    # 33 golds of an earlier part, and row 88, whose list mixes both parts.
    assert len(rows["minerva"]) == 34
    assert 88 in rows["minerva"]
    assert rows["olympiadbench"] == [149, 357, 571, 667]
    assert all(not found for name, found in rows.items() if name in COUNTS and name[0] in "ag")


POLICY = """
[policy]
units = "compare"

[[policy_rows]]
rows = [2]
reason = "the problem asks for a rounded value"
absolute_tolerance = 0.1

"""


def test_a_row_has_the_policy_of_its_benchmark_but_for_what_is_said_of_it(tmp_path):
    policies = read(tmp_path, TOP + POLICY + FILE).policies
    assert policies.of(0).changes() == {"units": "compare"}
    assert policies.of(2).changes() == {"units": "compare", "absolute_tolerance": 0.1}
    assert policies.reasons == {2: "the problem asks for a rounded value"}
    assert read(tmp_path, TOP + FILE).policies.of(0) == Policy()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[policy]\nunit = 1\n", 'toy.toml:4: policy: unknown key "unit"; did you mean "units"?'),
        ('[policy]\n\nunits = "cm"\n', "toy.toml:5: policy: units is"),
        ("[policy]\nrelative_tolerance = -1\n", "toy.toml:4: policy: relative_tolerance is"),
        (POLICY.replace("rows = [2]", "rows = [3]"), "toy.toml:8: row 3: the rows go from 0 to 2"),
        (POLICY.replace("rows = [2]", "rows = [2, 2]"), "toy.toml:8: two policies for row 2"),
        (POLICY.replace("rows = [2]", 'rows = ["2"]'), "row numbers from 0"),
        (POLICY.replace("rows = [2]", "rows = []"), 'needs "rows", a "reason"'),
        (POLICY.replace("absolute_tolerance = 0.1", ""), "what is different there"),
        (POLICY.replace("absolute_tolerance", "tolerance"), 'unknown key "tolerance"'),
    ],
)
def test_a_wrong_policy_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read(tmp_path, TOP + text + FILE)


def test_the_one_row_of_olympiadbench_that_states_an_error_has_its_tolerance():
    (path,) = [path for path in definition_paths() if path.stem == "olympiadbench"]
    policies = read_definition(path).policies
    assert policies.of(316).absolute_tolerance == 0.1
    assert {row for row in range(675) if policies.of(row).absolute_tolerance} == {316}


def test_only_minerva_rounds_and_no_benchmark_has_a_relative_tolerance():
    policies = {path.stem: read_definition(path).policies.general for path in definition_paths()}
    assert [name for name, each in policies.items() if each.rounding != "none"] == ["minerva"]
    assert not any(each.relative_tolerance for each in policies.values())

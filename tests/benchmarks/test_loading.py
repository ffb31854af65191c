import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evalharness import paths
from evalharness.benchmarks import (
    fetch_benchmark,
    list_benchmarks,
    load_benchmark,
    row_hashes,
)
from evalharness.benchmarks.definition import known_name, read_definition
from evalharness.benchmarks.golds import CanonicalRow, fingerprint
from evalharness.benchmarks.sources import SourceUnavailableError
from evalharness.cli import main
from evalharness.errors import DataError, InputError
from tests.benchmarks.test_downloads import NOBODY, serving

DATA = os.environ.get("EVALHARNESS_DATA")
real_data = pytest.mark.skipif(not DATA, reason="EVALHARNESS_DATA names no folder of real data")
SUITE = ("aime24", "amc", "math500", "minerva", "olympiadbench")
COMMIT = "0123456789" * 4
TOY = [("What is 1+1?", "2"), ("What is 2+2?", "4"), ("What is 3+3?", "6"), ("And 4+4?", "8")]


@pytest.fixture
def without_data(monkeypatch, tmp_path):
    monkeypatch.delenv("EVALHARNESS_DATA", raising=False)
    monkeypatch.setenv("EVALHARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


def jsonl(rows):
    return "".join(json.dumps({"problem": text, "gold": gold}) + "\n" for text, gold in rows)


def write_toy(folder, sources, errata=""):
    """`toy.toml` for the TOY rows, with their hashes beside it."""
    rows = [CanonicalRow(text, (gold,)) for text, gold in TOY]
    path = folder / "toy.toml"
    path.write_text(
        f'title = "Toy"\nnum_problems = 4\nfingerprint = "{fingerprint(rows)}"\n{sources}{errata}'
    )
    (folder / "toy.rows").write_text("".join(f"{row.hashes}\n" for row in rows))
    return path


def published_toy():
    sha256 = hashlib.sha256(jsonl(TOY).encode()).hexdigest()
    return (
        f'[[sources]]\nrepository = "a/b"\ncommit = "{COMMIT}"\npath = "toy.jsonl"\n'
        f'sha256 = "{sha256}"\n'
    )


# --- the shipped benchmarks, from the published files


@real_data
@pytest.mark.parametrize(
    ("name", "count", "row", "golds"),
    [
        ("aime24", 30, 1, ("25",)),  # published as "025"
        ("amc", 83, 0, ("142",)),  # published as 142.0
        ("math500", 500, 0, (r"\left( 3, \frac{\pi}{2} \right)",)),
        ("minerva", 272, 0, ("9.6",)),  # published with a line end
        ("olympiadbench", 675, 1, (r"\frac{1}{2 n+2}",)),  # published with dollar signs
        ("gsm8k", 1319, 0, ("18",)),
        ("gsm8k-train", 7473, 0, ("72",)),
        ("aime25", 30, 0, ("70",)),
        ("amc23", 40, 0, ("27",)),
    ],
)
def test_published_file_loads_and_verifies(name, count, row, golds):
    benchmark = load_benchmark(name)
    assert benchmark.verified
    assert len(benchmark.problems) == benchmark.num_published == count
    assert benchmark.problems[row].golds == golds
    assert [problem.problem_id for problem in benchmark.problems] == [
        f"{name}/{index}" for index in range(count)
    ]
    assert row_hashes(benchmark) == (benchmark.definition.with_suffix(".rows")).read_text()
    assert benchmark.source.endswith(")")
    assert DATA in benchmark.source


@real_data
def test_negative_amc_golds_and_broken_dollar_golds_keep_their_value():
    amc = load_benchmark("amc").problems
    assert [index for index, each in enumerate(amc) if each.golds[0].startswith("-")] == [8, 58]
    olympiad = load_benchmark("olympiadbench").problems
    assert olympiad[194].golds == ("221,8",)
    assert olympiad[13].golds == ("$69$,$84$",)
    assert olympiad[73].golds[0].startswith("$f(x)=a x+b$, where")


@real_data
def test_problem_text_is_verbatim():
    # Row 2 begins with a line end, as the published file has it.
    [row] = [each for each in load_benchmark("olympiadbench").problems if each.text[0] == "\n"]
    assert row.text.startswith("\nFind (in closed form)")


@real_data
@pytest.mark.parametrize(
    ("problem_id", "published", "corrected"),
    [
        # ln 2 / 1.3 = 0.533; the prompt prints the ferrets of 2000.
        ("minerva/41", ("4.4e7", r"4.4 \times 10^7"), ("0.53",)),
        ("minerva/251", ("SRAC=LRAC",), ("SRMC=LRMC",)),
        # (1/3) E_1 + (2/3) E_2 by |c_1|^2 = 1/3, |c_2|^2 = 2/3.
        ("minerva/266", ("E_{1},E_{2}",), (r"\frac{1}{3} E_{1}+\frac{2}{3} E_{2}",)),
        # 7.64 eV x 1.6e-19 C = 1.22e-18 J.
        ("minerva/163", ("0.822",), (r"1.22 \times 10^{-18}", "1.22")),
        (
            "minerva/88",
            (
                r"\frac{\cos (2 t)}{15}",
                r"\frac{\cos (2 t)}{15}+C_{1} e^{t}+C_{2} e^{-t}+C_{3} \cos (t)+C_{4} \sin (t)",
            ),
            (r"\frac{\cos (2 t)}{15}+C_{1} e^{t}+C_{2} e^{-t}+C_{3} \cos (t)+C_{4} \sin (t)",),
        ),
        ("minerva/10", ("0.01", "0.02"), ("0.01", "0.02")),
        # (10^3 + 1)^2 = 1002001 and 1 + 2 + 1 = 4.
        ("olympiadbench/149", ("1002001",), ("4",)),
        ("olympiadbench/357", (r"\frac{94}{4225}",), ()),
        ("olympiadbench/571", ("24",), ()),
        ("olympiadbench/667", (r"\frac{79}{128}",), ()),
    ],
)
def test_both_readings_of_the_golds_are_in_the_problem(problem_id, published, corrected):
    name, _, row = problem_id.partition("/")
    problem = load_benchmark(name).problems[int(row)]
    assert problem.golds_under("published") == published
    assert problem.golds_under("corrected") == corrected
    assert bool(problem.erratum) == (published != corrected)


@real_data
def test_every_minerva_erratum_of_an_earlier_part_replaces_a_gold_that_the_prompt_prints():
    def squeezed(text):
        return re.sub(r"[\s$]", "", text)

    corrected = [p for p in load_benchmark("minerva").problems if p.corrected_golds is not None]
    assert len(corrected) == 34
    printed = [p for p in corrected if any(squeezed(gold) in squeezed(p.text) for gold in p.golds)]
    # Three spell the printed answer in another way: x / 2-1 / 4, (2+2 i), 7.353e14.
    assert {p.problem_id for p in corrected} - {p.problem_id for p in printed} == {
        "minerva/60",
        "minerva/96",
        "minerva/222",
    }
    assert all("Subproblem 1" in p.text for p in corrected)


@real_data
@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("aime", "aime24"),
        ("AIME-2024", "aime24"),
        ("math", "math500"),
        ("MATH_500", "math500"),
        ("minerva_math", "minerva"),
        ("olympiad_bench", "olympiadbench"),
        ("gsm8k_test", "gsm8k"),
    ],
)
def test_alias_loads_the_canonical_benchmark(alias, name):
    benchmark = load_benchmark(alias, limit=2)
    assert benchmark.name == name
    assert benchmark.problems == load_benchmark(name).problems[:2]
    assert benchmark.fingerprint == load_benchmark(name).fingerprint


@real_data
def test_listing_verifies_what_is_here_and_downloads_nothing(monkeypatch, tmp_path):
    listed = {info.name: info for info in list_benchmarks()}
    assert all(listed[name].verified for name in (*SUITE, "gsm8k", "gsm8k-train", "aime25"))
    monkeypatch.delenv("EVALHARNESS_DATA")
    monkeypatch.setenv("EVALHARNESS_CACHE", str(tmp_path))
    listed = {info.name: info for info in list_benchmarks()}
    assert [(listed[name].source, listed[name].verified) for name in SUITE] == [
        ("not fetched", False)
    ] * 5
    assert list(tmp_path.iterdir()) == []


@real_data
def test_listing_names_a_damaged_file(monkeypatch, tmp_path):
    source = read_definition(paths.shipped_folder("benchmarks") / "amc.toml").sources[0]
    file = tmp_path / "sources" / source.place
    file.parent.mkdir(parents=True)
    file.write_bytes(b"damaged")
    monkeypatch.setenv("EVALHARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("EVALHARNESS_CACHE", str(tmp_path / "cache"))
    [amc] = [info for info in list_benchmarks() if info.name == "amc"]
    assert (amc.source, amc.verified) == ("damaged", False)
    assert str(file) in amc.trouble


@real_data
def test_fetch_brings_a_benchmark_into_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("EVALHARNESS_DATA")
    monkeypatch.setenv("EVALHARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Path(DATA) / "sources") as url:
        fetched = fetch_benchmark("aime", base_url=url)
    assert fetched.verified
    assert str(tmp_path) in fetched.source
    # The second time nothing is asked of the network.
    assert load_benchmark("aime24", base_url=NOBODY).problems == fetched.problems


def test_fetch_goes_on_behind_a_benchmark_that_can_t_be_had(without_data, monkeypatch, capsys):
    monkeypatch.setattr("evalharness.benchmarks.defined.download", refused)
    assert main(["fetch", "aime24", "practice"]) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith("practice: 120 problems from ")
    assert "evalharness: aime24: nobody there" in printed.err


def refused(*_):
    raise SourceUnavailableError("nobody there")


@real_data
def test_hub_copy_of_674_olympiad_rows_is_refused_and_the_missing_row_is_named(
    monkeypatch, tmp_path
):
    """The hub copies of OlympiadBench are reported with 674 rows."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    rows = [
        {"question": problem.text, "final_answer": list(problem.golds)}
        for problem in load_benchmark("olympiadbench").problems
    ]
    del rows[417]
    hub = tmp_path / "owner" / "olympiad"
    hub.mkdir(parents=True)
    (hub / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    shipped = paths.shipped_folder("benchmarks") / "olympiadbench.toml"
    head, _, _ = shipped.read_text().partition("[[sources]]")
    (tmp_path / "copy.toml").write_text(
        head + '[[sources]]\nhub = "owner/olympiad"\nsplit = "train"\n'
        'problem_column = "question"\ngold_column = "final_answer"\n'
    )
    (tmp_path / "copy.rows").write_text(shipped.with_suffix(".rows").read_text())
    with pytest.raises(DataError) as caught:
        load_benchmark("copy.toml")
    assert "674 rows for 675, 674 agree:\n  row 417: missing\n" in str(caught.value)


@real_data
def test_shipped_definition_loads_by_its_path_too():
    path = paths.shipped_folder("benchmarks") / "aime24.toml"
    assert load_benchmark(str(path)) == load_benchmark("aime24")


def test_wrong_data_folder_is_said_once(monkeypatch, tmp_path):
    monkeypatch.setenv("EVALHARNESS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere is not a folder"):
        list_benchmarks()


@real_data
def test_wrong_copy_of_aime_on_the_hub_is_refused_with_its_rows(monkeypatch, tmp_path):
    """The most used hub copy lacks figures and misstates row 22."""
    definition = read_definition(paths.shipped_folder("benchmarks") / "aime24.toml")
    other = Path(DATA) / "benchmarks" / "alt" / "aime_2024_mathruler.jsonl"
    copy = tmp_path / "aime-copy.toml"
    copy.write_text(
        f'title = "Copy"\nnum_problems = 30\nfingerprint = "{definition.fingerprint}"\n'
        f'gold_column = "answer"\ngold_rule = "integer"\n[[sources]]\nfile = "{other}"\n'
    )
    (tmp_path / "aime-copy.rows").write_text("\n".join(definition.row_hashes) + "\n")
    with pytest.raises(DataError) as caught:
        load_benchmark(str(copy))
    # 18 texts agree exactly, 7 differ in whitespace, 5 in words.
    assert "30 rows for 30, 18 agree" in str(caught.value)
    assert "row 4: another text: here" in str(caught.value)
    assert "and 9 more" in str(caught.value)


# --- definitions of one's own, and copies that differ


def test_file_beside_the_definition_is_a_source(without_data, tmp_path):
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY))
    path = write_toy(
        tmp_path,
        '[[sources]]\nfile = "rows.jsonl"\n',
        '[[errata]]\nrow = 1\ngolds = ["four"]\nreason = "spelt"\nsource = "by hand"\n',
    )
    benchmark = load_benchmark(str(path))
    assert benchmark.verified
    assert benchmark.source == str(tmp_path / "rows.jsonl")
    assert [problem.golds for problem in benchmark.problems] == [("2",), ("4",), ("6",), ("8",)]
    assert benchmark.problems[1].corrected_golds == ("four",)
    assert benchmark.problems[1].erratum == "spelt (by hand)"


def test_same_rows_in_another_order_come_back_in_the_published_order(without_data, tmp_path):
    path = write_toy(tmp_path, '[[sources]]\nfile = "rows.jsonl"\n')
    (tmp_path / "rows.jsonl").write_text(jsonl([TOY[2], TOY[0], TOY[3], TOY[1]]))
    benchmark = load_benchmark(str(path))
    assert [(problem.text, problem.golds[0]) for problem in benchmark.problems] == TOY
    assert benchmark.verified


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([TOY[0], *TOY[2:]], ["3 rows for 4, 3 agree", "row 1: missing"]),
        ([TOY[3], TOY[1], TOY[0]], ["3 rows for 4, 3 agree", "row 2: missing"]),
        (
            [TOY[0], (TOY[1][0], "5"), *TOY[2:]],
            ["4 rows for 4, 3 agree", 'row 1: another gold: here ["5"]'],
        ),
        (
            [("And 4 + 4?", "8"), *TOY[:3]],
            ["3 agree", 'row 3: another text: here "And 4 + 4?"'],
        ),
        (
            [TOY[0], ("And 3 + 3?", "7"), *TOY[2:]],
            ["3 agree", 'row 1: another text: here "And 3 + 3?"'],
        ),
        (
            [TOY[0], ("And 3 + 3?", "7"), TOY[3], TOY[2]],
            ["3 agree", "row 1: missing", 'not in the benchmark: row 1 here, "And 3 + 3?"'],
        ),
        (
            [*TOY[:3], ("And 4 + 4?", "8")],
            ["3 agree", 'row 3: another text: here "And 4 + 4?"'],
        ),
        ([*TOY, ("More?", "1")], ["5 rows for 4", 'not in the benchmark: row 4 here, "More?"']),
        ([*TOY, TOY[0]], ["5 rows for 4", 'not in the benchmark: row 4 here, "What is 1+1?"']),
        (
            [(text.upper(), gold) for text, gold in TOY],
            ["0 agree", "row 0: another text", "row 2: another text", "and 1 more"],
        ),
    ],
)
def test_different_copy_is_refused_and_its_rows_are_named(without_data, tmp_path, rows, lines):
    path = write_toy(tmp_path, '[[sources]]\nfile = "rows.jsonl"\n')
    (tmp_path / "rows.jsonl").write_text(jsonl(rows))
    with pytest.raises(DataError) as caught:
        load_benchmark(str(path))
    for line in lines:
        assert line in str(caught.value)


def test_without_row_hashes_a_different_copy_shows_both_fingerprints(without_data, tmp_path):
    path = write_toy(tmp_path, '[[sources]]\nfile = "rows.jsonl"\n')
    (tmp_path / "toy.rows").unlink()
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY[:3]))
    expected = fingerprint([CanonicalRow(text, (gold,)) for text, gold in TOY])
    found = fingerprint([CanonicalRow(text, (gold,)) for text, gold in TOY[:3]])
    with pytest.raises(DataError, match=f"3 rows for 4, fingerprint {found} for {expected}"):
        load_benchmark(str(path))


def test_another_number_of_rows_is_all_that_is_said_without_a_fingerprint(without_data, tmp_path):
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY))
    (tmp_path / "mine.toml").write_text('num_problems = 3\n[[sources]]\nfile = "rows.jsonl"\n')
    with pytest.raises(DataError, match=r"describes: 4 rows for 3$"):
        load_benchmark("mine.toml")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[[errata]]\nrow = 4\ngolds = ["1"]\nreason = "r"\nsource = "s"\n', "errata: row 4"),
        ('[[policy_rows]]\nrows = [2, 9]\nreason = "r"\nunits = "ignore"\n', "policy_rows: row 9"),
    ],
)
def test_what_is_said_of_a_row_that_isnt_there_is_refused(without_data, tmp_path, table, message):
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY))
    (tmp_path / "mine.toml").write_text(f'[[sources]]\nfile = "rows.jsonl"\n{table}')
    with pytest.raises(InputError, match=f"mine.toml: {message}: the rows go from 0 to 3"):
        load_benchmark("mine.toml")


def test_a_definition_without_a_title_has_the_name_of_its_file(without_data, tmp_path):
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY))
    (tmp_path / "mine.toml").write_text('[[sources]]\nfile = "rows.jsonl"\n')
    assert load_benchmark("mine.toml").title == "mine"


def test_a_missing_file_leaves_the_turn_to_the_next_source(without_data, tmp_path):
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY))
    first = '[[sources]]\nfile = "gone.jsonl"\n'
    (tmp_path / "mine.toml").write_text(f'{first}[[sources]]\nfile = "rows.jsonl"\n')
    assert len(load_benchmark("mine.toml").problems) == 4
    (tmp_path / "mine.toml").write_text(first)
    with pytest.raises(DataError, match=r"mine: gone\.jsonl: no such file"):
        load_benchmark("mine.toml")


def test_a_benchmark_of_ones_own_isnt_listed_as_verified(without_data, tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY))
    assert main(["benchmarks", "rows.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is False
    assert main(["benchmarks", "practice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True


def test_short_row_hashes_never_stand_in_for_the_fingerprint(without_data, tmp_path):
    path = write_toy(tmp_path, '[[sources]]\nfile = "rows.jsonl"\n')
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY))
    path.write_text(re.sub(r'fingerprint = "\w+"', f'fingerprint = "{"0" * 64}"', path.read_text()))
    with pytest.raises(DataError, match=f"the fingerprint is .* for {'0' * 64}"):
        load_benchmark(str(path))


def test_definition_without_a_fingerprint_loads_and_isnt_called_verified(without_data, tmp_path):
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY))
    (tmp_path / "mine.toml").write_text('title = "Mine"\n[[sources]]\nfile = "rows.jsonl"\n')
    benchmark = load_benchmark("mine.toml")
    assert not benchmark.verified
    assert [problem.problem_id for problem in benchmark.problems][3] == "mine/3"


def test_missing_gold_in_a_defined_file_is_named_with_its_line(without_data, tmp_path):
    path = write_toy(tmp_path, '[[sources]]\nfile = "rows.jsonl"\n')
    (tmp_path / "rows.jsonl").write_text(jsonl(TOY[:2]) + '{"problem": "x", "gold": null}\n')
    with pytest.raises(DataError, match=r'rows.jsonl:3: column "gold": the gold is missing'):
        load_benchmark(str(path))


def test_download_then_hub_is_the_order_of_the_sources(without_data, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    datasets.disable_progress_bars()
    hub = tmp_path / "owner" / "copy"
    hub.mkdir(parents=True)
    # The hub copy has other columns and another order.
    (hub / "test.jsonl").write_text(
        "".join(
            json.dumps({"question": text, "answer": int(gold)}) + "\n" for text, gold in TOY[::-1]
        )
    )
    server = tmp_path / "server" / "a/b" / COMMIT
    server.mkdir(parents=True)
    (server / "toy.jsonl").write_text(jsonl(TOY))
    path = write_toy(
        tmp_path,
        published_toy() + '[[sources]]\nhub = "owner/copy"\nsplit = "test"\n'
        'problem_column = "question"\ngold_column = "answer"\n',
    )
    from_hub = load_benchmark(str(path), base_url=NOBODY)
    assert from_hub.source == "hub data set owner/copy"
    with serving(tmp_path / "server") as url:
        downloaded = load_benchmark(str(path), base_url=url)
    assert downloaded.source.startswith("a/b@0123456 toy.jsonl (")
    assert downloaded.problems == from_hub.problems
    assert [problem.text for problem in from_hub.problems] == [text for text, _ in TOY]


def test_without_network_and_cache_one_line_says_what_to_put_where(
    without_data, tmp_path, monkeypatch
):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", NOBODY)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    source = read_definition(paths.shipped_folder("benchmarks") / "aime24.toml").sources[0]
    with pytest.raises(DataError) as caught:
        load_benchmark("aime24", base_url=NOBODY)
    message = str(caught.value)
    assert message.startswith("aime24: ")
    assert "\n" not in message
    assert f"download {NOBODY}/{source.place}" in message
    assert f"to {tmp_path}/cache/files/{source.sha256}" in message
    assert f"or to sources/{source.place} in the folder that EVALHARNESS_DATA names" in message


# --- files of one's own


def load_own(folder, rows, **options):
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_benchmark(str(path), **options)


@pytest.mark.parametrize(
    ("row", "text", "golds"),
    [
        ({"problem": "1+1?", "gold": "2"}, "1+1?", ("2",)),
        ({"question": "1+1?", "answer": 2}, "1+1?", ("2",)),
        ({"prompt": "1+1?", "final_answer": ["2", "two"]}, "1+1?", ("2", "two")),
        ({"Problem": "1+1?", "Expected_Answer": 2.0}, "1+1?", ("2",)),
        ({"question": "1+1?", "problem": "1+1?", "target": "$2$"}, "1+1?", ("2",)),
        ({"id": 7, "problem": " 1+1?\n", "gold": "2\n", "level": None}, " 1+1?\n", ("2",)),
    ],
)
def test_known_columns_are_found(without_data, tmp_path, row, text, golds):
    benchmark = load_own(tmp_path, [row])
    [problem] = benchmark.problems
    assert (problem.problem_id, problem.text, problem.golds) == ("own/0", text, golds)
    assert not benchmark.verified
    assert benchmark.source == str(tmp_path / "own.jsonl")


def test_named_columns_and_gold_rule_win(without_data, tmp_path):
    row = {"problem": "x", "q": "1+1?", "gold": "y", "a": "so\n#### 1,002"}
    options = {"problem_column": "q", "gold_column": "a", "gold_rule": "gsm8k"}
    [problem] = load_own(tmp_path, [row], **options).problems
    assert (problem.text, problem.golds) == ("1+1?", ("1002",))


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"text": "x", "gold": "1"}], {}, "no problem column .*: the columns are text, gold"),
        ([{"problem": "x", "n": "1"}], {}, "no gold column .*: the columns are problem, n"),
        (
            [{"problem": "x", "answer": "#", "final_answer": "1"}],
            {},
            'both "answer" and "final_answer" could be the gold and they differ',
        ),
        (
            [{"problem": "x", "gold": "1"}],
            {"gold_column": "gld"},
            'no gold column "gld"; did you mean "gold"',
        ),
        ([{"problem": "x", "gold": "1"}], {"gold_rule": "gsm"}, 'rule "gsm"; did you mean "gsm8k"'),
        ([{"problem": "x", "gold": "1"}, {"problem": " ", "gold": "1"}], {}, "jsonl:2: no problem"),
        ([{"problem": "x", "gold": "1"}, {"problem": "y"}], {}, "own.jsonl:2: .*gold is missing"),
        ([{"problem": "x", "gold": "1 = 1\n#### 1"}], {}, 'own.jsonl:1: .*gold rule "gsm8k"'),
        ([], {}, "no rows"),
        (
            [{"problem": "x", "gold": "1", "problem_id": "a"}] * 2,
            {},
            'own.jsonl:2: the problem_id "a" stands at .*own.jsonl:1 already',
        ),
        (
            [{"problem": "x", "gold": "1", "problem_id": "a"}, {"problem": "y", "gold": "1"}],
            {},
            "own.jsonl:2: .*no id",
        ),
    ],
)
def test_unusable_file_is_refused_with_its_place(without_data, tmp_path, rows, options, message):
    with pytest.raises(InputError, match=message):
        load_own(tmp_path, rows, **options)


def test_ids_of_the_file_are_kept(without_data, tmp_path):
    rows = [
        {"problem": "x", "gold": "1", "problem_id": 17},
        {"problem": "y", "gold": "1", "problem_id": "own/b"},
    ]
    benchmark = load_own(tmp_path, rows)
    assert [problem.problem_id for problem in benchmark.problems] == ["own/17", "own/b"]


def test_limit_keeps_the_first_and_the_fingerprint_of_all(without_data, tmp_path):
    rows = [{"problem": text, "gold": gold} for text, gold in TOY]
    benchmark = load_own(tmp_path, rows, limit=3)
    assert [problem.text for problem in benchmark.problems] == [text for text, _ in TOY[:3]]
    assert benchmark.num_published == 4
    assert benchmark.fingerprint == load_own(tmp_path, rows).fingerprint
    with pytest.raises(InputError, match="--limit 0"):
        load_own(tmp_path, rows, limit=0)


@pytest.mark.parametrize("name", ["aime24.jsonl", "MATH.jsonl", "gsm8k-test.toml"])
def test_own_file_mustnt_take_the_name_of_a_shipped_benchmark(without_data, tmp_path, name):
    (tmp_path / name).write_text(jsonl(TOY))
    with pytest.raises(InputError, match=r"is the shipped benchmark .*: rename the file"):
        load_benchmark(name)


def test_hub_id_is_a_benchmark_under_its_full_name(without_data, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    datasets.disable_progress_bars()
    (tmp_path / "owner" / "aime24").mkdir(parents=True)
    (tmp_path / "owner" / "aime24" / "train.jsonl").write_text(jsonl(TOY))
    benchmark = load_benchmark("owner/aime24:train")
    assert [problem.problem_id for problem in benchmark.problems][:2] == [
        "owner/aime24:train/0",
        "owner/aime24:train/1",
    ]
    assert benchmark.source == "hub data set owner/aime24:train"


def test_unknown_name_gets_the_close_ones_and_the_other_ways(without_data):
    with pytest.raises(InputError) as caught:
        load_benchmark("olympiadbnch")
    message = str(caught.value)
    assert 'unknown benchmark "olympiadbnch"; did you mean "olympiadbench"?' in message
    assert "aime24, aime25, amc, amc23, gsm8k" in message
    assert "hub id owner/name" in message
    with pytest.raises(InputError, match=r'"zzz"\. The benchmarks are aime24'):
        fetch_benchmark("zzz")


def test_missing_file_is_named_and_no_hub_id(without_data):
    with pytest.raises(InputError, match=r"data/mine\.jsonl: no such file"):
        load_benchmark("data/mine.jsonl")
    with pytest.raises(InputError, match=r"mine\.toml: can't be read"):
        load_benchmark("mine.toml")


def test_columns_of_a_defined_benchmark_cant_be_overridden(without_data):
    with pytest.raises(InputError, match="the definition names the columns"):
        load_benchmark("aime24", gold_column="answer")


def test_amc_and_amc23_are_never_confused():
    assert known_name("amc") == "amc"
    assert known_name("AMC23") == "amc23"
    assert known_name("amc12") is None
    assert known_name("math/500") is None


def test_importing_the_room_loads_no_heavy_package():
    code = (
        "import sys, evalharness.benchmarks, evalharness.benchmarks.matching;"
        "print([m for m in ('datasets', 'pyarrow', 'pandas', 'torch') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"

from evalharness.analysis.clusters import stem_clusters
from evalharness.records import Problem


def _problems(texts: dict[str, str], benchmark: str = "b") -> list[Problem]:
    return [
        Problem(benchmark=benchmark, problem_id=f"{benchmark}/{name}", text=text, golds=("1",))
        for name, text in texts.items()
    ]


def test_problems_that_begin_alike_are_one_cluster() -> None:
    stem = "A star of mass $M$ " * 6  # 114 characters
    texts = {"a": stem + "Find x.", "b": stem + "Find y.", "c": "Find z."}
    assert stem_clusters(_problems(texts)) == {"b/a": 0, "b/b": 0, "b/c": 1}


def test_short_problems_are_together_only_when_equal() -> None:
    texts = {"a": "What is 1+1?", "b": "What is 1+2?", "c": " What  is\n1+1?"}
    assert stem_clusters(_problems(texts)) == {"b/a": 0, "b/b": 1, "b/c": 0}


def test_a_difference_after_the_stem_does_not_part_and_one_inside_does() -> None:
    texts = {"a": "x" * 99 + "1", "b": "x" * 99 + "2", "c": "x" * 99 + "13", "d": "y"}
    assert stem_clusters(_problems(texts)) == {"b/a": 0, "b/b": 1, "b/c": 0, "b/d": 2}


def test_an_instruction_before_every_problem_makes_no_cluster() -> None:
    preamble = "Solve the problem and give the answer in its simplest form. " * 3
    texts = {"a": preamble + "What is 1+1?", "b": preamble + "What is 1+2?"}
    assert stem_clusters(_problems(texts)) == {"b/a": 0, "b/b": 1}


def test_equal_problems_of_two_benchmarks_are_two_clusters() -> None:
    problems = _problems({"a": "Find z."}) + _problems({"a": "Find z."}, "c")
    assert stem_clusters(problems) == {"b/a": 0, "c/a": 1}

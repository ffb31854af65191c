import pytest

from evalharness.checking.policy import Policy


def test_a_policy_survives_its_table() -> None:
    policy = Policy(order="given", rounding="gold-digits", absolute_tolerance=0.1)
    assert Policy.from_table(policy.to_table()) == policy
    assert Policy.from_table({}) == Policy()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"ordered": "any"}, 'unknown key "ordered": a policy has order, '),
        ({"order": "sorted"}, 'order is "any" or "given", not \'sorted\''),
        ({"relative_tolerance": -1.0}, "relative_tolerance is a finite number of at least 0"),
        ({"absolute_tolerance": float("nan")}, "absolute_tolerance is a finite number"),
        ({"absolute_tolerance": True}, "absolute_tolerance is a finite number"),
        ({"units": ["ignore"]}, "units is "),
    ],
)
def test_a_wrong_table_is_refused_by_the_name_of_its_key(
    table: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Policy.from_table(table)


def test_equal_policies_share_a_cache_key() -> None:
    assert len({Policy(), Policy(order="any"), Policy(order="given")}) == 2

import base64
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.report.embedding import json_text, packed, script_hash, script_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "hostile",
    ["</script><script>alert(1)</script>", "<!-- <script>", "a\u2028b\u2029c", "]]>", "&lt;"],
)
def test_embedded_json_has_nothing_that_ends_its_element_and_keeps_the_text(hostile: str) -> None:
    text = json_text({"x": hostile})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"x": hostile}


@given(VALUES)
def test_embedded_json_round_trips(value: object) -> None:
    assert json.loads(json_text(value)) == value


def test_embedded_json_says_null_where_there_is_no_number() -> None:
    assert json_text([float("nan"), float("inf"), 1.5]) == "[null,null,1.5]"


@given(st.text())
def test_packed_text_unpacks_to_itself(text: str) -> None:
    data = base64.b64decode(packed({"x": text}))
    assert json.loads(gzip.decompress(data)) == {"x": text}


def test_the_same_value_packs_to_the_same_bytes_at_any_time() -> None:
    # A gzip header holds the time unless it is told not to: bytes 4 to 7.
    assert base64.b64decode(packed("x"))[4:8] == b"\0\0\0\0"


def test_a_script_cannot_end_its_own_element() -> None:
    assert script_text("x = '</script>'; y = '<!--'") == "x = '<\\/script>'; y = '<\\!--'"


def test_a_script_hash_is_that_of_the_content_security_policy() -> None:
    # printf %s 'alert(1)' | openssl dgst -sha256 -binary | base64
    assert script_hash("alert(1)") == "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"

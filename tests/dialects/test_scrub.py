"""What is taken out of a provider's words, and what must stay in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.scrub import MAX_HOST_SEARCH_BYTES, rename, scrub, scrub_all

MODEL, ALIAS = b"real-model", b"prometheus-core"


@pytest.mark.parametrize(
    "text",
    [
        b"%b",
        b"`%b`",
        b"'%b' is gone",
        b'\\"%b\\"',
        b"models/%b is not found",
        b"openai/%b",
        b"%b.",
        b"%b: not found",
        b"%b, or",
        b"(%b)",
        b"model=%b&x",
        b"line\\n%b\\nline",
        b"\\u000a%b",
        b"models%%2F%b",
        b"[%b]",
        b"%b/deployments",
        b"models/%b:generateContent",
        b"%b:countTokens",
        b"%b.Please",
        b"model:%b",
        b"\xe6\xa8\xa1%b\xe4\xb8\x8d",
        b"%b - gone",
        b"%b-",
        b"%b's",
    ],
)
def test_a_models_whole_name_is_the_alias(text: bytes) -> None:
    assert scrub(text % MODEL, MODEL, ALIAS) == text % ALIAS


@pytest.mark.parametrize(
    "text",
    [
        b"surreal-model",
        b"real-model-mini",
        b"my-real-model",
        b"my_real-model",
        b"real-model_2",
        b"real-model2",
        b"real-model.5",
        b"my.real-model",
        b"real-model@001",
        b"real-model:free",
        b"Xreal-model",
        b"real-models",
        b"real-model+tools",
        b"xreal-modelx",
    ],
)
def test_a_longer_name_is_another_model(text: bytes) -> None:
    assert scrub(text, MODEL, ALIAS) == text


def test_the_tag_that_stands_for_none_goes_with_the_name() -> None:
    assert scrub(b"llama3:latest, llama3:8b", b"llama3", ALIAS) == b"prometheus-core, llama3:8b"


@pytest.mark.parametrize("text", [b"acme/big", b"acme\\/big", b"models/acme/big"])
def test_a_name_with_a_slash_is_found_in_both_spellings(text: bytes) -> None:
    assert b"big" not in scrub(text, b"acme/big", ALIAS)


def test_a_name_that_looks_like_an_account_is_the_alias() -> None:
    assert scrub(b"accounts/acme/models/big is gone", b"accounts/acme/models/big", ALIAS) == b"prometheus-core is gone"


def test_of_several_names_the_longest_counts() -> None:
    names = {b"big": b"one", b"big/two": b"two"}
    assert scrub_all(b"big/two, big, bigger", names) == b"two, one, bigger"


def test_nothing_is_found_in_what_was_put_in() -> None:
    assert scrub(b"the real-model", MODEL, b"org-alias1234") == b"the org-alias1234"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (b"org-abcd1234", b"***"),
        (b"org-abcdef", b"***"),
        (b"proj_abcd1234", b"***"),
        (b"sk-proj-abcd****wxyz.", b"***."),
        (b"sk-ant-api03-abcd", b"***"),
        (b"gsk_abcdefgh1234", b"***"),
        (b"xai-abcdefgh1234", b"***"),
        (b"AIzaSyAbcdefgh1234", b"***"),
        (b"eyJhbGciOi.eyJzdWIiOiIx.abcdefghijk", b"***"),
        (b"user-abcd1234", b"***"),
        (b"user_2AbCdEf", b"***"),
        (b"acct_abcd1234", b"***"),
        (b"line\\norg-ABCDEFGH12345", b"line\\n***"),
        (b"for consumer 'project_number:123456789012'.", b"for consumer '***'."),
        (b'{"consumer":"projects/123456789012"}', b'{"consumer":"***"}'),
        (b"`projects/my-project/locations/us-central1/x`", b"`***/locations/us-central1/x`"),
        (b"not been used in project 123456789012 before", b"not been used in *** before"),
        (b"organizations/123456", b"***"),
        (b"projects%2F123456%2Fx", b"***%2Fx"),
        (b"project_id=my-project", b"***"),
        (b"Project `my-project-42` was", b"***` was"),
        (b"subscription 01234567-89ab-cdef-0123-456789abcdef is", b"*** is"),
        (b"AKIAIOSFODNN7EXAMPLE", b"***"),
        (b"wrkspc_01AbCdEf", b"***"),
        (b"models.inner.corp failed", b"*** failed"),
        (b"accounts/acme/models/x", b"***/models/x"),
        (b"arn:aws:bedrock:us-east-1:123456789012:model/x is", b"*** is"),
        (b"at https://inner.example/v1?key=1 now", b"at *** now"),
        (b"at https:\\/\\/inner.example\\/v1 now", b"at *** now"),
        (b"at wss://inner/v1", b"at ***"),
        (b"host vendor-edge.example:8000 says", b"host *** says"),
        (b"inner.svc.cluster.local failed", b"*** failed"),
        (b"10.0.0.5:8000 refused", b"*** refused"),
        (b"localhost:11434 refused", b"*** refused"),
    ],
)
def test_addresses_and_ids_are_blanked(text: bytes, clean: bytes) -> None:
    assert scrub(text, MODEL, ALIAS) == clean
    assert scrub(text, b"", ALIAS) == clean


@pytest.mark.parametrize(
    "text",
    [
        b"Unknown parameter: 'user_location'.",
        b"project 'name' must be a text",
        b"subscription is needed",
        b'"param":"user_location"',
        b"user_location_2",
        b"user-agent",
        b"user_id",
        b"user_content",
        b"org_name",
        b"org-wide",
        b"org-level",
        b"proj_name",
        b"acct_type",
        b"sk-learn",
        b"org-abc",
        b"task-abcd1234",
        b"disk-abcd1234",
        b"tools.0.function.parameters",
        b"messages.0.content",
        b"gpt-3.5",
        b"file.py",
        b"temperature must be 0.5 to 1.0",
        b"1.2.3",
        b"the project and 12 others",
        b"accounts",
        b"projects",
        b"response_format.type",
        b"http: no",
        b"e.g. this",
        b"i.o",
    ],
)
def test_words_that_only_begin_alike_stay(text: bytes) -> None:
    assert scrub(text, MODEL, ALIAS) == text


@given(
    st.text(), st.sampled_from(["real-model", "org-abcdef12", "https://a.b/c", "10.0.0.1", "projects/x1"]), st.text()
)
def test_a_text_that_is_json_is_json_again(before: str, telling: str, behind: str) -> None:
    value = {"error": {"message": f"{before} {telling} {behind}", "param": telling}}
    for ascii_only in (True, False):
        data = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        clean = json.loads(scrub(data, MODEL, ALIAS))
        assert telling not in clean["error"]["param"]


def test_a_long_text_is_searched_too() -> None:
    text = b"word " * MAX_HOST_SEARCH_BYTES + b"real-model of org-abcd1234 at https://a.example/"
    assert scrub(text, MODEL, ALIAS).endswith(b"word prometheus-core of *** at ***")


def test_a_files_name_is_renamed_inside_of_words_too() -> None:
    assert rename(b'attachment; filename="Real-Model-mini.json"', MODEL, ALIAS) == (
        b'attachment; filename="prometheus-core-mini.json"'
    )
    assert rename(b"attachment", b"", ALIAS) == b"attachment"

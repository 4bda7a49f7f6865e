"""What msgspec refused is said with how to mend it, at any depth."""

from typing import Any

import msgspec
import pytest

from proxy.auth.values import KeyFields
from proxy.config.faults import explain


@pytest.mark.parametrize(
    ("value", "message", "place"),
    [
        ({"nam": "a"}, 'no field is named "nam" (did you mean "name"?)', ""),
        ({"limits": {"requets": "5/s"}}, 'no field is named "requets" (did you mean "requests"?)', "limits"),
        (
            {"budgets": [{"limit": "1", "on_exceed": "bad"}]},
            'must be one of "refuse", "soft_cap", "stop_stream", "warn"',
            "budgets[0].on_exceed",
        ),
        (
            {"limits": {"models": {"a": {"token": "5/s"}}}},
            'no field is named "token" (did you mean "tokens"?)',
            "limits.models[...]",
        ),
        ({"name": 3}, "Expected `str`, got `int`", "name"),
    ],
)
def test_a_refused_value_is_explained(value: dict[str, Any], message: str, place: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, KeyFields)
    assert explain(caught.value, KeyFields) == (message, place)

"""The page's codes are those of docs/errors.md that a client of the API can meet."""

import re

from proxy.pages.documentation.error_codes import COMMON, ERROR_CODES
from tests.test_errors import DOCUMENT, documented

#: Met by operators alone: at the admin API, the dashboard, the command line; and by a client that has left.
NOT_OF_CLIENTS = frozenset(
    {"admin_token_required", "invalid_admin_token", "network_not_allowed", "invalid_json", "no_config_file"}
    | {"org_config_not_found", "report_too_long", "provider_not_found", "no_api_key", "new_key_refused"}
    | {"rotation_state", "promotion_failed", "rollback_failed", "client_closed", "invalid_config", "cannot_listen"}
    | {"workers_failed", "not_running", "key_exists", "key_not_found", "key_revoked", "team_exists", "team_not_found"}
    | {"team_in_use", "org_exists", "org_not_found", "org_in_use", "version_mismatch", "owned_by_file"}
    | {"idempotency_key_reused", "session_required", "cross_site_request", "wrong_csrf_token"}
    | {"invalid_credential", "invalid_sign_in_link", "no_admins_here", "no_admin_token", "request_not_found"}
)


def test_each_has_the_type_and_the_statuses_of_the_document() -> None:
    for one in ERROR_CODES:
        assert frozenset(map(int, re.findall(r"\d{3}", one.status))) <= documented()[one.code, one.type], one.code


def test_none_is_missing_that_a_client_can_meet() -> None:
    assert {code for code, _ in documented()} - NOT_OF_CLIENTS <= {one.code for one in ERROR_CODES}
    assert DOCUMENT.exists()


def test_the_common_ones_are_codes() -> None:
    assert {one.code for one in ERROR_CODES} >= COMMON

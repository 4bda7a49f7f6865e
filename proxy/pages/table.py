"""The table of pages: one row each. Routes, docs/pages.md and the tests of what readers may see come from it."""

from typing import Final

from proxy.pages.dashboard.audit import ROWS as AUDIT_ROWS
from proxy.pages.dashboard.budgets import ROWS as BUDGETS_ROWS
from proxy.pages.dashboard.keys import ROWS as KEYS_ROWS
from proxy.pages.dashboard.live import ROWS as LIVE_ROWS
from proxy.pages.dashboard.models import ROWS as MODELS_ROWS
from proxy.pages.dashboard.overview import ROWS as OVERVIEW_ROWS
from proxy.pages.dashboard.requests import ROWS as REQUESTS_ROWS
from proxy.pages.dashboard.settings import ROWS as SETTINGS_ROWS
from proxy.pages.dashboard.sign_in import ROWS as SIGN_IN_ROWS
from proxy.pages.dashboard.teams import ROWS as TEAMS_ROWS
from proxy.pages.documentation.home import ROWS as HOME_ROWS
from proxy.pages.documentation.openapi_page import ROWS as OPENAPI_ROWS
from proxy.pages.documentation.openapi_readers import ROWS as OPENAPI_READER_ROWS
from proxy.pages.request import Page

PAGES: Final[tuple[Page, ...]] = (
    *HOME_ROWS,
    *OPENAPI_ROWS,
    *OPENAPI_READER_ROWS,
    *SIGN_IN_ROWS,
    *OVERVIEW_ROWS,
    *REQUESTS_ROWS,
    *LIVE_ROWS,
    *KEYS_ROWS,
    *MODELS_ROWS,
    *BUDGETS_ROWS,
    *TEAMS_ROWS,
    *AUDIT_ROWS,
    *SETTINGS_ROWS,
)

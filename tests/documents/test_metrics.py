"""The document of the metrics: its table is current, and their names are by the rules."""

import re

from tests.documents.metrics import PAGE, current, rows
from tests.serving import idle_state


def test_the_table_in_the_documents_is_the_current_one() -> None:
    assert PAGE.read_text() == current(), "run: make docs"
    assert "".join(rows()) != ""


def test_names_of_metrics_are_by_the_rules() -> None:
    for name, family in idle_state().metrics.families.items():
        assert re.fullmatch(r"(prometheus_)?gateway_[a-z0-9_]+", name)
        assert name.endswith("_total") == (family.kind == "counter"), name
        assert family.help.endswith("."), name

"""The schemas of chat, and their examples."""

from proxy.pages.documentation.openapi.chat import SHAPES, schemas
from tests.pages.documentation.openapi.validation import examples_fit


def test_each_example_is_what_its_schema_says() -> None:
    assert examples_fit(SHAPES) == []


def test_each_shape_names_schemas_that_are_there() -> None:
    from_here = {name for shape in SHAPES.values() for name in (shape.request, shape.response) if name}
    shared = {"Deleted", "TokenCount"}
    assert from_here - shared <= set(schemas())

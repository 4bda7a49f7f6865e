"""What the handlers of pages may use."""

from tests.serving import idle_gateway


def test_the_configuration_is_the_one_in_force() -> None:
    gateway = idle_gateway()
    assert gateway.site.services.config is gateway.config

"""The two class decorators of mypyc, usable where its package is not installed: nothing is needed to run compiled code.

`trait`: an interface that a class may have beside its base class. Only compiled classes may implement a compiled one.
`mypyc_attr(allow_interpreted_subclasses=True)`: a compiled class that Python code may inherit from, such as an
operator's own or a test's. Neither costs a call anything.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
    from mypy_extensions import trait as trait
else:

    def trait(cls):
        return cls

    def mypyc_attr(**_attributes):
        return trait

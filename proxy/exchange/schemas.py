"""What is read of the nested values of a request's body."""

import msgspec


class Tool(msgspec.Struct, frozen=True, gc=False):
    """One of the tools that a request offers to the model; all but its type is left unread."""

    #: Empty for the plain tools of Anthropic's format.
    type: str = ""

"""Translations between dialects: one file for each pair, and one line in the tuple below.

A target whose upstream does not speak the caller's dialect serves it all the same where a conversation stands between
the two.
"""

from proxy.dialects.conversation import Conversation

CONVERSATIONS: tuple[Conversation, ...] = ()

"""Translations between dialects: one file for each pair, and one line in the tuple below.

A target whose upstream does not speak the caller's dialect serves it all the same where a conversation stands between
the two.
"""

from proxy.dialects.conversation import Conversation
from proxy.dialects.translate.chat_to_messages import ChatToMessages
from proxy.dialects.translate.messages_to_chat import MessagesToChat

CONVERSATIONS: tuple[Conversation, ...] = (ChatToMessages(), MessagesToChat())

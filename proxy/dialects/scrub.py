"""Takes out of a provider's words what must not reach a client: its model's name, addresses, ids of accounts, keys.

Works on the bytes of a JSON text as they came: all else stays as it is, and what is put in breaks no string. Only whole
names and ids are replaced: a longer name is another model's, and `user_location` is no id.
"""

import re
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

#: An escape of JSON or of a URL, behind which a word begins although letters stand before it.
_ESCAPE: Final = rb"\\[nrtbf]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}"
_escape_ends: Final = re.compile(rb"(?:" + _ESCAPE + rb")\Z")
#: Behind `my-`, `my.` and `my_` a model's name is a part of a longer one.
_inside_a_name: Final = re.compile(rb"(?:[A-Za-z0-9_-]|[A-Za-z0-9]\.)\Z")
#: And so before `-mini`, `.5`, `@001` and `:free`; not before the tag that stands for none, nor a method of Google's.
_NAME_ENDS: Final = (
    rb"(?::latest)?(?![A-Za-z0-9_]|-[A-Za-z0-9]|[.@+][a-z0-9]"
    rb"|:(?!(?:generate|streamGenerate|count|embed|batch)[A-Z])[a-z0-9])"
)
_MAX_ESCAPE_BYTES: Final = 6
_URL: Final = rb"(?:https?|wss?|grpcs?|tcp):(?:/|\\/){2}(?:[^\s\"'<>\\`]|\\/)+"
#: Host names of the usual domains, and numbers.
_HOSTS: Final = (
    rb"(?:[A-Za-z0-9-]{1,63}\.){1,8}(?:com|net|org|io|ai|dev|cloud|cn|host|internal|local|lan|corp|svc|example)"
    rb"(?::[0-9]{1,5})?(?![A-Za-z0-9_-]|\.[A-Za-z0-9])",
    rb"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?::[0-9]{1,5})?(?![A-Za-z0-9_-]|\.[A-Za-z0-9])",
    rb"localhost:[0-9]{2,5}",
)
#: By what providers begin them with; and tokens.
_KEYS: Final = rb"(?:sk[-_]|gsk_|xai-|pplx-|nvapi-|hf_|AIza|eyJ)(?!learn\b)[A-Za-z0-9*_-]{4,}(?:\.[A-Za-z0-9_-]{8,})*"
_ACCOUNTS: Final = (
    # What any text follows as an id, and what is the beginning of other words too.
    rb"(?:org-|proj[-_]|acct[-_])(?!(?:level|wide|name|type|path|number|scoped|specific|based|owned)\b)[A-Za-z0-9*_-]{4,}",
    rb"(?:user[-_]|org_)(?=[a-z]*[A-Z0-9*])[A-Za-z0-9*_-]{4,}",
    rb"(?:projects|organizations|folders|billingAccounts|subscriptions|accounts|tenants)(?:/|\\/|%2[Ff])[A-Za-z0-9_.:~-]+",
    rb"(?:project_number|project_id|consumer)[:=][A-Za-z0-9_:-]+",
    # Google's own pattern for the ids of projects, in quotes; most have a digit, and few other words do.
    rb"[Pp]roject ['`](?=[a-z0-9-]*[0-9])[a-z][a-z0-9-]{4,28}[a-z0-9](?=['`])",
    rb"[Ss]ubscription[ :=]{1,2}['`]?[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}",
    rb"AKIA[A-Z0-9]{12,}|wrkspc_[A-Za-z0-9]{4,}",
    rb"(?:[Pp]roject|[Aa]ccount)(?:[ _-](?:number|id|ID))?[ :=#]{1,3}['`]?[0-9]{5,}",
    rb"arn:aws[A-Za-z0-9-]*:[^\s\"'<>\\`]+",
)
_WORD_BEGINS: Final = rb"(?:\b|(" + _ESCAPE + rb"))(?=[A-Za-z0-9])"
_sensitive: Final = re.compile(_WORD_BEGINS + rb"(?:" + b"|".join((_URL, _KEYS, *_ACCOUNTS, *_HOSTS)) + rb")")
#: Without what takes long to look for.
_sensitive_in_long_text: Final = re.compile(_WORD_BEGINS + rb"(?:" + b"|".join((_URL, _KEYS, *_ACCOUNTS)) + rb")")
NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
#: Bytes of the longest text in which hosts without a scheme are looked for: no error's words are longer.
MAX_HOST_SEARCH_BYTES: Final = 65_536
#: Placeholders of the names while the rest is searched, so that nothing is found in what was put in.
_mark: Final = re.compile(rb"\x00([0-9]{1,6})\x00")


def scrub(text: bytes, upstream_model: bytes, alias: bytes, hidden: Mapping[str, str] = NO_NAMES) -> bytes:
    """Replace the upstream's model name by the alias, and blank addresses and the ids of accounts and keys.

    `hidden` is what else may stand there, each with its replacement.
    """
    names = {name.encode(): replacement.encode() for name, replacement in hidden.items()}
    names[upstream_model] = alias
    return scrub_all(text, names)


def scrub_all(text: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """The same for several names, each with its replacement."""
    # The longest first: a name may be the beginning of another one.
    there = [name for name in sorted(names, key=len, reverse=True) if name and name in text.replace(rb"\/", b"/")]
    if there:
        pattern = b"|".join([re.escape(name).replace(b"/", rb"\\?/") for name in there])
        text = re.sub(b"(" + pattern + b")" + _NAME_ENDS, partial(_marked, there), text)
    text = (_sensitive if len(text) <= MAX_HOST_SEARCH_BYTES else _sensitive_in_long_text).sub(rb"\1***", text)
    return _mark.sub(partial(_replacement_of, [names[name] for name in there]), text) if there else text


def rename(text: bytes, upstream_model: bytes, alias: bytes) -> bytes:
    """A text that is no sentence, such as a file's name, without the model's name, in any case and inside of words."""
    if not upstream_model:
        return text
    return re.sub(re.escape(upstream_model), partial(_constant, alias), text, flags=re.IGNORECASE)


def _marked(names: list[bytes], match: re.Match[bytes]) -> bytes:
    """The mark of a name that was found, or what was found where that is a part of a longer name."""
    begin = match.start()
    left = match.string[max(begin - _MAX_ESCAPE_BYTES, 0) : begin]
    if _inside_a_name.search(left) is not None and _escape_ends.search(left) is None:
        return match[0]
    return b"\x00%d\x00" % names.index(match[1].replace(rb"\/", b"/"))


def _replacement_of(replacements: list[bytes], match: re.Match[bytes]) -> bytes:
    at = int(match[1])
    return replacements[at] if at < len(replacements) else match[0]


def _constant(replacement: bytes, match: re.Match[bytes]) -> bytes:
    return replacement

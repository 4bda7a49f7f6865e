"""The mutants: one safety of the gateway taken out in each, with the tests that must miss it.

A row is a piece of the source that stands in its file exactly once, what it becomes, and the narrowest tests that must
fail then. A safety whose mutant nothing catches is a safety that the next change may take away.
"""

from typing import NamedTuple

GUARD = "tests/server/test_guard.py"
HOSTILE = "tests/server/test_hostile.py::test_it_is_refused_and_never_sent_on"
RELAY = "tests/relay"
JOURNAL = "tests/ledger/test_journal.py"
OVERLOAD = "tests/server/test_overload.py"
DESCRIPTORS = "tests/cli/test_descriptors.py"


class Mutant(NamedTuple):
    """See the module."""

    name: str
    file: str
    old: str
    new: str
    #: Paths and node ids for pytest.
    tests: tuple[str, ...]


MUTANTS: tuple[Mutant, ...] = (
    # What the guard refuses.
    Mutant("any version", "proxy/server/guard.py", 'version not in ("1.1", "1.0")', "False", (HOSTILE,)),
    Mutant("any target", "proxy/server/guard.py", "_TARGET.fullmatch(self.url) is None", "False", (HOSTILE,)),
    Mutant("any number of headers", "proxy/server/guard.py", "len(self.headers) > MAX_HEADERS", "False", (HOSTILE,)),
    Mutant("names with underscores", "proxy/server/guard.py", "if underscores:", "if False:", (GUARD,)),
    Mutant("any Host", "proxy/server/guard.py", "_HOST.fullmatch(value) is None", "False", (HOSTILE,)),
    Mutant(
        "two Hosts", "proxy/server/guard.py", 'hosts > 1 or (hosts == 0 and version == "1.1")', "hosts == 0", (HOSTILE,)
    ),
    Mutant(
        "no Host", "proxy/server/guard.py", 'hosts > 1 or (hosts == 0 and version == "1.1")', "hosts > 1", (HOSTILE,)
    ),
    Mutant("any transfer coding", "proxy/server/guard.py", 'value.lower() != b"chunked" or ', "", (HOSTILE,)),
    Mutant("chunks in HTTP/1.0", "proxy/server/guard.py", ' or version == "1.0"', "", (HOSTILE,)),
    Mutant(
        "any expectation", "proxy/server/guard.py", 'elif value.lower() != b"100-continue":', "elif False:", (HOSTILE,)
    ),
    Mutant("a tunnel", "proxy/server/guard.py", 'get_method() == b"CONNECT"', 'get_method() == b""', (HOSTILE,)),
    Mutant(
        "any head at once",
        "proxy/server/guard.py",
        "if size > self._terms.limits.max_head_bytes:",
        "if False:",
        ("tests/server/test_splits.py::test_a_large_head_is_refused_in_one_read_too",),
    ),
    Mutant("endless framing", "proxy/server/guard.py", "max(0, grown)", "0", (HOSTILE,)),
    Mutant(
        "trailers as headers",
        "proxy/server/guard.py",
        "if not self._in_head:\n            # A trailer",
        "if False:\n            # A trailer",
        (GUARD,),
    ),
    Mutant(
        "endless pipelining",
        "proxy/server/guard.py",
        "behind and len(self.pipeline) >= MAX_PIPELINED",
        "False",
        (GUARD,),
    ),
    Mutant(
        "a body left unread",
        "proxy/server/guard.py",
        "self.cycle is self._answering and self._answering.more_body",
        "False",
        ("tests/server/test_hostile.py",),
    ),
    Mutant(
        "a head for ever",
        "proxy/server/guard.py",
        'self._refuse(Refused(408, "The request\'s head stopped coming."))',
        "pass",
        (GUARD,),
    ),
    Mutant(
        "a body for ever",
        "proxy/server/guard.py",
        'self._refuse(Refused(408, "The request\'s body stopped coming."))',
        "pass",
        (GUARD,),
    ),
    Mutant(
        "a reader that never reads",
        "proxy/server/guard.py",
        "if self.write_deadline < now:",
        "if False:",
        ("tests/relay/test_backpressure.py",),
    ),
    Mutant(
        "a client's leaving unseen",
        "proxy/server/guard.py",
        "            answering.left()",
        "            pass",
        ("tests/relay/test_disconnects.py",),
    ),
    # The client's side.
    Mutant(
        "a body beyond its announced limit",
        "proxy/server/client.py",
        "if (self.announced() or 0) > limit:",
        "if False:",
        ("tests/endpoints/test_inference.py",),
    ),
    Mutant(
        "a chunked body beyond the limit",
        "proxy/server/client.py",
        "if self._received > limit:",
        "if False:",
        ("tests/endpoints/test_inference.py", "tests/server/test_client.py"),
    ),
    Mutant(
        "a cut answer with its last chunk",
        "proxy/server/client.py",
        "self.keep_alive = False\n            self.transport.close()",
        "self.write(b'', True)",
        ("tests/relay/test_endings.py",),
    ),
    Mutant(
        "an unread body before the next request",
        "proxy/server/client.py",
        "if not self.keep_alive or self.more_body:",
        "if not self.keep_alive:",
        ("tests/endpoints/test_inference.py", "tests/server/test_hostile.py", GUARD),
    ),
    # Who may do what.
    Mutant(
        "any key",
        "proxy/endpoints/credentials.py",
        "if key is None:\n        raise AuthenticationFailed(INVALID)",
        "if key is None:\n        return next(iter(keys._keys.values()))",
        ("tests/endpoints/test_credentials.py",),
    ),
    Mutant(
        "any head for a known one",
        "proxy/server/head.py",
        "hash(read) != self._hash or read != self._known or ",
        "",
        ("tests/server/test_head.py",),
    ),
    Mutant(
        "a known head's body without its end",
        "proxy/server/guard.py",
        "            data = data[:owed]",
        "            pass",
        ("tests/server/test_known_heads.py",),
    ),
    Mutant(
        "two keys",
        "proxy/endpoints/credentials.py",
        "key is not None and one.id != key.id",
        "False",
        ("tests/endpoints/test_credentials.py",),
    ),
    Mutant(
        "any number of keys",
        "proxy/endpoints/credentials.py",
        "len(secrets) == MAX_SECRETS",
        "False",
        ("tests/endpoints/test_credentials.py",),
    ),
    Mutant(
        "a digest for each request",
        "proxy/endpoints/inference.py",
        "facts.digests if isinstance(facts, Facts) else digests_of(client.head.headers)",
        "digests_of(client.head.headers)",
        ("tests/endpoints/test_credentials.py",),
    ),
    Mutant("an expired key", "proxy/ledger/keys.py", "now >= key.expires", "False", ("tests/ledger/test_keys.py",)),
    Mutant(
        "a revoked key",
        "proxy/ledger/keys.py",
        "found[key.id] if key.revoked is None else []",
        "found[key.id]",
        ("tests/ledger/test_keys.py",),
    ),
    Mutant(
        "keys in clear",
        "proxy/ledger/keys.py",
        "return hashlib.sha256(secret.encode()).digest()",
        "return secret.encode()",
        ("tests/ledger/test_keys.py",),
    ),
    Mutant(
        "any alias for any key",
        "proxy/policies/rights.py",
        "return key.models is None or alias in key.models",
        "return True",
        ("tests/policies/test_rights.py",),
    ),
    Mutant(
        "any alias for any endpoint",
        "proxy/policies/rights.py",
        "if alias.capability not in call.capabilities:",
        "if False:",
        ("tests/policies/test_rights.py", "tests/endpoints/test_inference.py"),
    ),
    Mutant(
        "another key's object",
        "proxy/ledger/owners.py",
        "return found if found is not None and found.key == key else None",
        "return found",
        ("tests/ledger/test_owners.py",),
    ),
    Mutant(
        "an id that the last key owns",
        "proxy/ledger/owners.py",
        "if known.key != owned.key:\n                return False",
        "pass",
        ("tests/ledger/test_owners.py",),
    ),
    Mutant(
        "a claim that is believed",
        "proxy/ledger/owners.py",
        "self._claims.add(owned.id)",
        "pass",
        ("tests/ledger/test_owners.py",),
    ),
    Mutant(
        "an id that is adopted again",
        "proxy/ledger/owners.py",
        "known = await self.find(owned.id)",
        "known = None",
        ("tests/ledger/test_owners.py",),
    ),
    Mutant(
        "other workers' journals that are not waited for",
        "proxy/ledger/owners.py",
        "        await self._others_stored()\n        query",
        "        query",
        ("tests/ledger/test_owners.py",),
    ),
    Mutant(
        "an owner that the database replaces",
        "proxy/ledger/storing.py",
        "model = excluded.model WHERE key = excluded.key",
        "model = excluded.model, key = excluded.key",
        ("tests/ledger/test_owners.py",),
    ),
    Mutant(
        "an owner whose journal was read late",
        "proxy/ledger/storing.py",
        "connection.execute(_YIELD, (one.id, one.key, one.created))",
        "pass",
        ("tests/ledger/test_owners.py",),
    ),
    Mutant(
        "any id in a body",
        "proxy/objects/claims.py",
        "named = await own_all(owners, call.key.id, call.references)",
        "return",
        ("tests/objects/test_claims.py",),
    ),
    Mutant(
        "references that are not looked for",
        "proxy/policies/references.py",
        "call.references = find(body.fields)",
        "return",
        ("tests/objects/test_claims.py",),
    ),
    # What passes, and what does not.
    Mutant(
        "every header of the client",
        "proxy/wire/headers.py",
        "if begin is not None:\n            found.append(begin + value)",
        "found.append(name + b': ' + value)",
        ("tests/wire/test_headers.py", "tests/relay/test_streaming.py"),
    ),
    Mutant(
        "line ends in a header",
        "proxy/wire/headers.py",
        'if not _is_safe(b"".join(found)):',
        "if False:",
        ("tests/wire/test_headers.py",),
    ),
    Mutant(
        "every parameter of the query",
        "proxy/endpoints/facts.py",
        'if part.partition(b"=")[0].decode("latin-1") in allowed',
        "",
        ("tests/endpoints/test_inference.py",),
    ),
    Mutant(
        "a second model in the body",
        "proxy/wire/body.py",
        'fields["model"] = msgspec.Raw(_encoder.encode(model))',
        "return body.data",
        ("tests/wire/test_body.py",),
    ),
    Mutant(
        "a second model in a large body",
        "proxy/wire/pieces.py",
        "position != len(body.data) or ",
        "",
        ("tests/wire/test_pieces.py",),
    ),
    Mutant(
        "any depth of JSON",
        "proxy/wire/body.py",
        "if nesting_exceeds(data, MAX_DEPTH, max(MAX_BRACKETS, len(data) // 16)):",
        "if False:",
        ("tests/wire/test_body.py",),
    ),
    Mutant(
        "an event without a bound",
        "proxy/wire/sse.py",
        "if size > self._limit:",
        "if False:",
        ("tests/wire/test_sse.py",),
    ),
    Mutant(
        "half a line before an error",
        "proxy/wire/rewrite.py",
        'return out if self._tap.failed or _mask(rest).strip() else b""',
        "return out",
        ("tests/cuts/test_cuts.py", "tests/wire/test_rewrite.py"),
    ),
    Mutant(
        "names of the upstream in an error",
        "proxy/dialects/tap.py",
        '_TELLING.sub(b"***", text)',
        "text",
        ("tests/dialects/test_openai.py",),
    ),
    Mutant(
        "the upstream's model in an answer",
        "proxy/wire/rewrite.py",
        "return data[:begin] + replacement + data[end:]",
        "return data",
        ("tests/wire/test_rewrite.py",),
    ),
    # The relay.
    Mutant(
        "a second try after the first byte",
        "proxy/relay.py",
        "elif self.committed or isinstance(error, StoreFailed)",
        "elif isinstance(error, StoreFailed)",
        ("tests/relay/test_commit_point.py", "tests/relay/test_endings.py"),
    ),
    Mutant(
        "a clean end without a finish",
        "proxy/attempt.py",
        "(complete and reply.whole)",
        "complete",
        ("tests/relay/test_endings.py",),
    ),
    Mutant(
        "no error event in a cut stream",
        "proxy/relay.py",
        "if self._last or not self._cuts:",
        "if not self._cuts:",
        ("tests/relay/test_endings.py",),
    ),
    Mutant(
        "a compressed answer passed on",
        "proxy/reply.py",
        'if encoding not in (b"", b"identity"):',
        "if False:",
        ("tests/faults/test_faults.py",),
    ),
    Mutant(
        "no pause for a slow client",
        "proxy/attempt.py",
        "self.connection.pause()",
        "pass",
        ("tests/relay/test_backpressure.py",),
    ),
    Mutant(
        "an upstream that is not cancelled",
        "proxy/attempt.py",
        "self.connection.abandon()\n            self.connection = None",
        "self.connection = None",
        ("tests/relay/test_disconnects.py",),
    ),
    Mutant(
        "attempts without end",
        "proxy/attempts.py",
        "MAX_ATTEMPTS = 3",
        "MAX_ATTEMPTS = 99",
        ("tests/relay/test_commit_point.py",),
    ),
    Mutant(
        "no deadline",
        "proxy/attempt.py",
        "        return now > self._deadline\n\n    def _wait",
        "        return False\n\n    def _wait",
        ("tests/relay/test_endings.py",),
    ),
    # The upstream's side.
    Mutant(
        "bytes behind an answer kept for the next",
        "proxy/upstream/connection.py",
        "# Nobody asked: whatever it is, it must not become part of the next answer.\n            self.close()",
        "pass",
        ("tests/upstream/test_connection.py", "tests/upstream/test_pool.py"),
    ),
    Mutant(
        "a connection used again with surplus bytes",
        "proxy/upstream/connection.py",
        "self._keep_alive and not self._surplus",
        "self._keep_alive",
        ("tests/upstream/test_connection.py",),
    ),
    Mutant(
        "a connection that its server closes used again",
        "proxy/upstream/connection.py",
        "self._parser.should_keep_alive() and ",
        "",
        ("tests/upstream/test_connection.py",),
    ),
    Mutant(
        "a head without a bound",
        "proxy/upstream/connection.py",
        "self._head_bytes > MAX_HEAD_BYTES and self._head_too_large()",
        "False",
        ("tests/upstream/test_connection.py",),
    ),
    Mutant(
        "a pool without a bound",
        "proxy/upstream/pool.py",
        "and len(self._open) + self.opening < self.upstream.max_connections",
        "",
        ("tests/upstream/test_pool.py",),
    ),
    Mutant(
        "a queue without a bound",
        "proxy/upstream/pool.py",
        "len(self._waiters) >= room + self.upstream.max_waiting",
        "False",
        ("tests/upstream/test_pool.py",),
    ),
    Mutant(
        "any certificate",
        "proxy/upstream/pool.py",
        "context = ssl.create_default_context()",
        "context = ssl._create_unverified_context()",
        ("tests/upstream/test_tls.py",),
    ),
    # The ledger.
    Mutant(
        "the last byte before the bill",
        "proxy/relay.py",
        "services.journal.append(final, self._leave)",
        "self._leave()\n            services.journal.append(final, None)",
        ("tests/relay/test_endings.py",),
    ),
    Mutant(
        "the last byte before the sync",
        "proxy/relay.py",
        "services.journal.append(final, self._leave)",
        "services.journal.append(final, None)\n            self._leave()",
        ("tests/relay/test_endings.py",),
    ),
    Mutant(
        "no bill",
        "proxy/relay.py",
        "services.journal.append(final, self._leave)",
        "self._leave()",
        ("tests/relay/test_endings.py",),
    ),
    Mutant(
        "work that a full store does not hold up",
        "proxy/overload/monitor.py",
        "journal.failed is not None",
        "False",
        ("tests/relay/test_store_failure.py",),
    ),
    Mutant(
        "an answer before its sync",
        "proxy/ledger/journal.py",
        "line, then)\n        elif then is not None:",
        "line, None)\n            then and then()\n        elif then is not None:",
        (f"{JOURNAL}::test_in_power_mode_then_comes_only_after_a_sync_that_many_share",),
    ),
    Mutant(
        "no sync",
        "proxy/ledger/syncer.py",
        "os.fdatasync(file.descriptor)",
        "pass",
        (
            f"{JOURNAL}::test_in_power_mode_closing_syncs_what_is_left",
            f"{JOURNAL}::test_in_power_mode_then_comes_only_after_a_sync_that_many_share",
        ),
    ),
    Mutant(
        "a bill that is forgotten when the disk is full",
        "proxy/ledger/journal.py",
        "self._owe(record, line)\n            raise self._refusal() from error",
        "raise self._refusal() from error",
        (f"{JOURNAL}::test_a_settled_request_that_the_disk_refused_is_written_when_it_can_be",),
    ),
    Mutant(
        "a journal without a bound",
        "proxy/ledger/journal.py",
        "if self._unstored + len(line) > self._bounded + reserve:",
        "if False:",
        (f"{JOURNAL}::test_a_full_backlog_refuses_new_work_but_settles_what_runs",),
    ),
    Mutant(
        "a row counted twice",
        "proxy/ledger/storing.py",
        "finals = [final for final in finals if final.id not in known]",
        "pass",
        ("tests/ledger/test_writer.py",),
    ),
    Mutant(
        "read positions outside the transaction",
        "proxy/ledger/storing.py",
        "connection.executemany(_OFFSET, batch.offsets.items())",
        "pass",
        ("tests/ledger/test_writer.py", "tests/ledger/test_store.py"),
    ),
    Mutant(
        "no row for what a dead process left",
        "proxy/ledger/storing.py",
        "finals = [interrupted(msgspec.json.decode(record, type=Opened)) for (record,) in found]",
        "finals: list[Final] = []",
        ("tests/ledger/test_writer.py",),
    ),
    Mutant(
        "a segment removed while it is written",
        "proxy/ledger/segments.py",
        "if not try_lock(descriptor) or os.fstat(descriptor).st_size > size:",
        "if False:",
        ("tests/ledger/test_segments.py",),
    ),
    Mutant(
        "two writers",
        "proxy/ledger/writer.py",
        "if not segments.try_lock(lock):",
        "if False:",
        ("tests/ledger/test_writer.py", "tests/ledger/test_store.py"),
    ),
    # What is done when the process runs short.
    Mutant(
        "descriptors given away to the last",
        "proxy/server/guard.py",
        "if sock is not None and sock.fileno() >= pressure.last_descriptor:",
        "if False:",
        (DESCRIPTORS,),
    ),
    Mutant(
        "upstreams that take the last descriptors",
        "proxy/overload/monitor.py",
        "return number < self._last_connection",
        "return True",
        ("tests/overload",),
    ),
    Mutant(
        "a full table blamed on the upstream",
        "proxy/upstream/pool.py",
        "error.errno in (errno.EMFILE, errno.ENFILE)",
        "False",
        ("tests/upstream/test_pool_descriptors.py",),
    ),
    Mutant(
        "work at any grade",
        "proxy/overload/monitor.py",
        "if self._refused and self._is_refused():",
        "if False:",
        (OVERLOAD,),
    ),
    Mutant(
        "objects at any grade",
        "proxy/endpoints/objects.py",
        "self._shared.overload.admit()",
        "pass",
        (OVERLOAD,),
    ),
    Mutant(
        "any number under way",
        "proxy/overload/monitor.py",
        "if len(self._deadlines) + self.others >= self._max_in_flight:",
        "if False:",
        (OVERLOAD,),
    ),
    Mutant(
        "a backlog up to the bound",
        "proxy/overload/monitor.py",
        " or self.backlog.grade:",
        ":",
        (OVERLOAD,),
    ),
    Mutant(
        "connections kept under pressure",
        "proxy/server/listener.py",
        "self._close_at is None and not self._pressure.closing",
        "self._close_at is None",
        (OVERLOAD,),
    ),
    Mutant(
        "connections accepted under pressure",
        "proxy/overload/monitor.py",
        "pressure.pause()",
        "pass",
        ("tests/overload",),
    ),
    Mutant(
        "listening sockets that close with a pause",
        "proxy/server/listener.py",
        "sock=sock.dup(), backlog",
        "sock=sock, backlog",
        (OVERLOAD,),
    ),
    Mutant(
        "memory that nothing can free",
        "proxy/overload/monitor.py",
        "self.memory.grade if self.in_flight else min(self.memory.grade, CLOSE)",
        "self.memory.grade",
        ("tests/overload",),
    ),
    Mutant(
        "one pause as an overload",
        "proxy/overload/grades.py",
        "self.lag = min(self._recent) if len(self._recent) == LATE_SWEEPS else 0.0",
        "self.lag = late",
        ("tests/overload",),
    ),
)

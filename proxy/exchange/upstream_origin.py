"""The upstreams as an `Origin`: makes attempts at an alias's targets, one after the other, until one responds.

It carries out the retry plan, reports the upstreams' health, reads on for a client that is gone, and makes the bill. It
must not write to the client but by the exchange.
"""

import logging
import math
import time
from functools import partial
from typing import ClassVar, Final

import msgspec

from proxy.dialects.causes import Cause, cause_of, stopped_by_policy
from proxy.dialects.conversation import IDENTITY
from proxy.dialects.readers import ResponseReader
from proxy.dialects.upstream_errors import ErrorResponse
from proxy.errors import (
    GatewayError,
    StoreFailed,
    UpstreamConnectFailed,
    UpstreamDropped,
    UpstreamFailed,
    UpstreamReported,
    UpstreamTimeout,
)
from proxy.exchange.attempt import LAST_EVENTS_SECONDS, Attempt, AttemptOwner
from proxy.exchange.context import RequestContext
from proxy.exchange.fallback import fallback_targets, fallbacks_of, session_of
from proxy.exchange.interfaces import COMMITTED, SETTLED, ResponseWriter
from proxy.exchange.response_head import DISPOSITION, may_show_limits, timestamp, translated_lines, without_models
from proxy.exchange.services import Services
from proxy.exchange.settlement import CLIENT_LEFT, relayed_record, reserved_of
from proxy.ledger.record import AttemptRecord, Outcome, UsageRecord
from proxy.routing.models import Alias, conversation_with
from proxy.routing.retry import ErrorStatus, GiveUp, Retry, RetryPlan
from proxy.upstream.condition import MAX_RATE_LIMIT_SECONDS, RATE_LIMIT_SECONDS, REFUSED_SECONDS
from proxy.upstream.latency import size_factor
from proxy.upstream.target import Target
from proxy.wire.headers import response_lines, retry_after

#: Statuses of an upstream that its gateway made, and not the model's server.
_GATEWAY_STATUSES: Final = (502, 503, 504, 529)

# What an origin does for its client.
SERVING: Final = 0
#: The client is gone: all of the response is read, and not only the end of one that was made.
DRAINING: Final = 1
#: The client has set a timeout of its own, which has passed: what was made until then is billed.
CLIENT_TIMED_OUT: Final = 2
_log = logging.getLogger(__name__)
_now: Final = time.monotonic


class UpstreamOrigin(AttemptOwner):
    """The targets of one request's alias. A member of the timeout sweeper while it waits between two attempts."""

    is_timed: ClassVar[bool] = True
    # What it begins with; set for each request only once it changes.
    #: The running attempt; none while it waits between two, and once it is settled.
    _attempt: Attempt | None = None
    _wait_until = math.inf
    _mode = SERVING

    def __init__(self, services: Services, context: RequestContext, targets: tuple[Target, ...] = ()) -> None:
        """`targets` are tried in place of those of the context."""
        alias = context.alias
        assert alias is not None
        self.services = services
        self.context = context
        self.sent = 0.0
        self.plan = RetryPlan(
            targets or context.targets,
            context.arrived,
            alias.total_timeout,
            context.patience,
            context.upload is not None,
        )
        self.plan.alias = alias
        if alias.routing is not None:
            self._note_fallbacks(alias)

    def start(self, exchange: ResponseWriter) -> None:
        self.exchange = exchange
        self._try(fresh=False)

    def _try(self, fresh: bool) -> None:
        """Make an attempt at the plan's target."""
        context, plan = self.context, self.plan
        alias, target = plan.alias, plan.target
        assert alias is not None
        self.provider, self.model = target.pool.name, target.model
        self.first_byte_limit = min(target.first_byte_timeout, context.patience)
        self.fell_back = target is not context.targets[0]
        if self.fell_back and alias.routing is not None and alias.routing.affinity is not None and not plan.hedged:
            session = session_of(context, alias)
            if session:
                alias.routing.affinity.move(session, target, _now())
        plan.begin()
        attempt = self._attempt = Attempt(self)
        # In the order of its fields: a record that is made by their names costs several times as much.
        opened = AttemptRecord(
            self.row or context.id,
            context.started,
            context.key.id,
            alias.name,
            context.endpoint,
            target.pool.name,
            target.model,
            context.body.stream,
            plan.attempts,
            # Of two attempts at once it is reserved for one.
            reserved_of(context) if context.held is not None and not self.row else None,
            context.key.team,
            context.key.org,
        )
        if not self.is_billed:
            opened = msgspec.structs.replace(opened, key="", team="", org="")
        try:
            self.services.journal.append(opened)
            attempt.start(fresh)
        except GatewayError as error:
            self.failed(error)

    # what the attempt reports

    def begin(self, attempt: Attempt, reader: ResponseReader) -> None:
        self.exchange.begin(attempt.status, self._lines(attempt), reader.events)
        if self.plan.target.pool.health.ejected:
            self._note_success()
        alias = self.plan.alias
        if alias is not None and alias.routing is not None and (reader.meter.text_out or not reader.by_parts):
            self._note_first_content()

    def finished(self, attempt: Attempt, reader: ResponseReader, last: bytes) -> None:
        exchange, upload, failed = self.exchange, self.context.upload, reader.meter.failed
        if (
            self.plan.used
            and self.plan.may_fall_back
            and self._is_refusal(reader, last)
            and self._fall_back("content_policy")
        ):
            return
        if self.plan.target.pool.health.last_failed and not failed:
            self._note_success()
        lines = b""
        if exchange.state < COMMITTED:
            lines = self._lines(attempt)
            alias = self.plan.alias
            if alias is not None and alias.routing is not None and not failed:
                self._note_first_content()
        elif self.plan.target.state.condition.watched and not failed:
            self._note_recovery(_now())
        outcome: Outcome = "upstream_error" if failed else "complete"
        if upload is not None and not exchange.client_gone:
            finish = partial(exchange.finish, attempt.status, lines, reader.events, last, outcome)
            if not upload.settled(reader.meter.usage(), finish):
                # The response was there before the length of the audio that it is billed by.
                attempt.hold()
                return
        exchange.finish(attempt.status, lines, reader.events, last, outcome)

    def refused(self, attempt: Attempt, body: bytes) -> None:
        status, exchange, plan = attempt.status, self.exchange, self.plan
        if exchange.client_gone:
            # What the upstream refused costs nothing.
            self.sent = 0.0
            exchange.settle_disconnected()
            return
        context, target = self.context, plan.target
        alias, dialect = plan.alias, context.dialect
        assert alias is not None
        assert context.alias is not None
        response = ErrorResponse(status, attempt.headers, body)
        cause, wait = response.cause(), retry_after(attempt.headers)
        self._note_status(status, cause, wait)
        failure = response.provider_failure()
        # Of another target, such an error about the key, or about a model that it has not, says nothing.
        outcome = ErrorStatus(status, wait, failure is not None or cause == "model_not_found")
        if failure is not None:
            self._end_attempt(failure, outcome, cause)
            return
        answered = UpstreamFailed("It answered with an error.", detail=response.summary)
        self._log_failure(answered)
        if self._try_again(outcome, cause) or self._fall_back(cause):
            return
        try:
            relayed = response.relayed(
                dialect,
                conversation_with(target, alias).error(dialect, body),
                {**target.hidden, target.model: context.alias.name},
                limits=may_show_limits(context, status),
                request_id=context.id,
                timestamp=timestamp(),
            )
        except UpstreamFailed as error:
            exchange.fail(error)
            return
        exchange.refuse(status, relayed.lines, relayed.body, relayed.error, relayed.code)

    def failed(self, error: GatewayError) -> None:
        cause: Cause = ""
        if isinstance(error, UpstreamReported):
            cause = cause_of(200, error.detail.split(", ")[1:], error.message)
        self._end_attempt(error, error, cause)

    def _end_attempt(self, error: GatewayError, outcome: GatewayError | ErrorStatus, cause: Cause) -> None:
        """An attempt came to nothing by this error: make another one, or end the response."""
        exchange = self.exchange
        if exchange.state == SETTLED:
            return
        try:
            self._note_failure(error)
            self._log_failure(error)
            if exchange.client_gone:
                if isinstance(error, UpstreamReported):
                    # As where the upstream refuses by its status.
                    self.sent = 0.0
                exchange.settle_disconnected()
            elif (
                exchange.state >= COMMITTED
                or isinstance(error, StoreFailed)
                or not (self._try_again(outcome, cause) or self._fall_back(cause))
            ):
                if isinstance(error, UpstreamTimeout) and error.impatient:
                    self._mode = CLIENT_TIMED_OUT
                exchange.fail(error)
        except Exception as fault:  # noqa: BLE001 (whatever is raised, the client must have an end)
            exchange.crash(fault)

    def drained(self, reader: ResponseReader) -> None:
        """Settle once enough was read for a client that is gone."""
        if reader.ending or self.exchange.state == SETTLED:
            return
        if self._mode == DRAINING:
            context, services = self.context, self.services
            assert context.alias is not None
            text_out = reader.meter.text_out
            _, tokens = services.estimator.estimate(context.key.id, context.alias.name, 0, text_out)
            if tokens <= services.drain_max_tokens:
                return
        self.cancel()
        self.exchange.settle_disconnected()

    def _lines(self, attempt: Attempt) -> bytes:
        """The header lines of the upstream's that go to the client, without names of its models."""
        conversation = self.conversation
        if conversation is not IDENTITY:
            return translated_lines(attempt.headers, conversation.note)
        lines = response_lines(attempt.headers)
        if DISPOSITION in lines and self.context.alias is not None:
            lines = without_models(lines, {self.model: self.context.alias.name})
        return lines

    # another attempt

    def _try_again(self, outcome: GatewayError | ErrorStatus, cause: Cause) -> bool:
        """Do what the plan says after an attempt that ended so; False when it gives up."""
        upload, plan = self.context.upload, self.plan
        if upload is not None and not upload.repeatable:
            return False
        failed = plan.target
        step = plan.after(outcome)
        if isinstance(step, GiveUp):
            return False
        self._forget_attempt()
        if plan.target is not failed and plan.alias is not None:
            self.services.fell_back(plan.alias.name, "target", cause or _name_of(outcome))
        if isinstance(step, Retry):
            self._try(step.fresh)
        else:
            self._wait_until = step.until
            self.services.deadlines.add(self)
        return True

    def _forget_attempt(self) -> None:
        if self._attempt is not None:
            self.services.deadlines.discard(self._attempt)
            self._attempt = None

    def _note_fallbacks(self, alias: Alias) -> None:
        """Let a response without content wait for its end where another alias may serve what this one refuses."""
        if self.context.upload is None and alias.routing is not None and "content_policy" in alias.routing.fallbacks:
            self.plan.may_fall_back = True

    def _is_refusal(self, reader: ResponseReader, data: bytes) -> bool:
        """Whether a response that is whole with these bytes was refused for what it is about, without any content."""
        if self.exchange.state >= COMMITTED or self.exchange.client_gone or reader.meter.failed:
            return False
        return not (reader.by_parts and reader.meter.text_out) and stopped_by_policy(data, reader.by_parts)

    def _fall_back(self, cause: Cause) -> bool:
        """Have another alias serve the request, where one is configured for this cause; False where none can."""
        context, plan, before = self.context, self.plan, self.plan.alias
        if before is None or not (plan.standby or (cause and before.routing is not None)):
            return False
        if plan.is_late or self.exchange.client_gone:
            return False
        if plan.hedged and self.races and not self.row:
            # The attempt beside it has taken over what is left.
            return False
        names = tuple(dict.fromkeys((*fallbacks_of(context, before, cause), *plan.standby)))
        for place, name in enumerate(names):
            alias = context.aliases[name]
            targets = fallback_targets(context, alias)
            if targets and self.services.may_serve(context, alias):
                for field in alias.client_ids:
                    context.body.fields.pop(field, None)
                self._forget_attempt()
                plan.fall_back(alias, targets, names[place + 1 :])
                self._note_fallbacks(alias)
                self.services.fell_back(before.name, "alias", cause or "standby")
                self._try(fresh=False)
                return True
        return False

    def overdue(self, now: float) -> bool:
        """Whether the wait between two attempts is over."""
        return now >= self._wait_until

    def expire(self) -> None:
        """The wait is over: try the same target again."""
        self.services.deadlines.discard(self)
        if self.exchange.state != SETTLED:
            self._try(fresh=False)

    def interrupt(self) -> None:
        """The gateway is shutting down."""
        self.exchange.interrupt()

    # the client's side

    def pause(self) -> None:
        if self._attempt is not None:
            self._attempt.pause()

    def resume(self) -> None:
        if self._attempt is not None:
            self._attempt.resume()

    def client_left(self, stalled: bool) -> bool:
        """Cancel the upstream, or read on to the usage.

        That is done where it is configured, and for a response that is made but for its end: a cancel would save
        nothing, and a client that leaves there must not have all of it for the price of what was sent.
        """
        attempt, context = self._attempt, self.context
        if attempt is None or context.alias is None:
            return False
        reader = attempt.reader
        if reader is not None and reader.meter.failed:
            # The client was sent the upstream's error, and has nothing more to wait for.
            attempt.drop()
            self.exchange.settle_disconnected("upstream_error")
            return True
        whole = context.upload is None or context.upload.whole
        drains = context.alias.on_disconnect == "drain" and not stalled
        ending = reader is not None and reader.ending
        if attempt.connection is not None and whole and (drains or ending):
            if drains:
                self._mode = DRAINING
            attempt.drain(self.services.drain_max_seconds if drains else LAST_EVENTS_SECONDS)
            return True
        attempt.drop()
        return False

    def cancel(self) -> None:
        if self._attempt is not None:
            self._attempt.drop()
        if self.plan.used:
            self.plan.end()

    @property
    def has_content(self) -> bool:
        """Whether any content has come of the running attempt."""
        attempt = self._attempt
        return attempt is not None and attempt.reader is not None and attempt.reader.meter.text_out > 0

    # settlement

    def final(
        self, outcome: Outcome, error_code: str | None, status: int, first_write: float, bytes_out: int
    ) -> UsageRecord:
        services, context, plan, attempt = self.services, self.context, self.plan, self._attempt
        if plan.used:
            plan.end()
        services.deadlines.discard(attempt or self)
        # So that the two no longer hold each other, and what a request leaves need not wait for the collector.
        self._attempt = None
        # Where nothing of a response that may have begun was sent, nothing of it is billed.
        timed_out = self._mode == CLIENT_TIMED_OUT
        given_up = timed_out or (outcome == "hedge_lost" and self.sent != 0.0)
        billed = first_write or given_up or outcome in CLIENT_LEFT
        reader = attempt.reader if attempt is not None else None
        return relayed_record(
            context,
            plan.alias,
            plan.target,
            reader.meter if reader is not None and billed else None,
            services.estimator,
            outcome=outcome,
            error_code=error_code,
            status=status,
            attempts=plan.attempts,
            # The time of failed attempts is not the gateway's own.
            sent=max(self.sent - plan.lost_seconds, context.arrived) if self.sent else 0.0,
            first_byte=attempt.first_byte if attempt is not None else 0.0,
            first_write=first_write,
            bytes_out=bytes_out,
            left=given_up,
        )

    # the upstreams' health

    def _note_failure(self, error: GatewayError) -> None:
        """Count a failed attempt against the upstream, if it is the upstream's fault."""
        if isinstance(error, UpstreamDropped):
            counts = not error.reused
        elif isinstance(error, UpstreamTimeout):
            counts = not error.early
        else:
            counts = isinstance(error, UpstreamConnectFailed)
        if counts:
            self._count_failure(gateway=True)
            if isinstance(error, UpstreamTimeout) and self.exchange.state < COMMITTED and self.sent:
                now = _now()
                waited = (now - self.sent) / size_factor(self.context.text_in)
                self.plan.target.state.latency.waited(waited, now)

    def _note_status(self, status: int, cause: Cause, wait: float) -> None:
        """Count an error status against the upstream or the target, if it is not about the request."""
        if status >= 500:
            self._count_failure(gateway=status in _GATEWAY_STATUSES)
            return
        if self.plan.target.pool.health.last_failed:
            self._note_success()
        alias, target, now = self.plan.alias, self.plan.target, _now()
        if alias is None or alias.routing is None:
            return
        condition = target.state.condition
        if cause == "rate_limit":
            condition.cool(cause, min(wait, MAX_RATE_LIMIT_SECONDS) if wait != math.inf else RATE_LIMIT_SECONDS, now)
        elif cause == "credential":
            if condition.cause != cause:
                what = "%s of %s: its key was refused (status %d): tried last for %.0f seconds, or until it is changed"
                _log.error(what, target.label, alias.name, status, REFUSED_SECONDS)
            condition.cool(cause, REFUSED_SECONDS, now)
        elif condition.watched:
            condition.succeeded(now)

    def _note_success(self) -> None:
        """The upstream, whose last request failed, has responded."""
        pool = self.plan.target.pool
        if pool.health.succeeded(_now()):
            _log.warning("upstream %s responds again", pool.name)

    def _note_first_content(self) -> None:
        """The target has sent the first content of its response: note how long it took, and that it is well."""
        plan, now = self.plan, _now()
        state = plan.target.state
        state.latency.observe((now - self.sent) / size_factor(self.context.text_in), now, plan.hedged)
        if state.condition.watched:
            self._note_recovery(now)

    def _note_recovery(self, now: float) -> None:
        """The target, which has failed lately, has responded well."""
        plan = self.plan
        if plan.target.state.condition.succeeded(now):
            _log.warning("target %s of %s responds again", plan.target.label, plan.alias.name if plan.alias else "")

    def _count_failure(self, *, gateway: bool) -> None:
        pool = self.plan.target.pool
        seconds = pool.health.failed(_now(), gateway=gateway)
        if seconds:
            _log.warning("upstream %s is ejected for %.0f seconds: other targets are tried first", pool.name, seconds)
        alias, target = self.plan.alias, self.plan.target
        if alias is None or alias.routing is None:
            return
        seconds = target.state.condition.failed(_now())
        if seconds:
            _log.warning("%s of %s is ejected for %.0f seconds", target.label, alias.name, seconds)

    def _log_failure(self, error: GatewayError) -> None:
        """Log a failed attempt, and keep why it failed with its target: without a provider's words, which may quote a
        client's."""
        target = self.plan.target
        target.state.last_error = error.logged
        self.services.attempt_failed(self.context, target.label, error)


def _name_of(outcome: GatewayError | ErrorStatus) -> str:
    """What an attempt failed by, as a label: one of few."""
    if isinstance(outcome, ErrorStatus):
        return "server_error" if outcome.status >= 500 else "status"
    return outcome.code or "upstream_error"

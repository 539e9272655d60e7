"""The steps of an attempt: which outcome each end of a handler has."""

from __future__ import annotations

import asyncio

import pytest

import angelica
from angelica.clock import SECOND
from angelica.domain import reasons
from angelica.domain.outcome import Cancelled, Failed, Released, Snoozed, Succeeded
from angelica.runtime.attempt import LONGEST_WAIT, AttemptSteps, Interrupted
from tests.runtime.house_of_attempts import CLOCK, assignment, no_handler

STEPS = AttemptSteps(wall=CLOCK.wall)


def raised(error, **given):
    made = assignment(no_handler, **given)
    try:
        throw(error)
    except BaseException as caught:  # noqa: BLE001 - so that it has a traceback
        return STEPS.raised(made, caught)


def throw(error, cause=None):
    raise error from cause


def test_a_value_is_stored_as_json_and_none_as_null():
    made = assignment(no_handler)
    assert STEPS.returned(made, None) == Succeeded("null")
    assert STEPS.returned(made, [1, "ü"]) == Succeeded('[1,"ü"]')


def test_a_value_that_cannot_be_stored_is_final():
    outcome = STEPS.returned(assignment(no_handler), object())
    assert isinstance(outcome, Failed)
    assert outcome.final
    assert outcome.error.reason == reasons.RESULT_NOT_SERIALISABLE


def test_the_error_says_type_message_place_and_attempt():
    outcome = raised(LookupError("gone"), attempt=4)
    assert isinstance(outcome, Failed)
    assert not outcome.final
    error = outcome.error
    assert (error.reason, error.type, error.message, error.attempt) == ("exception", "LookupError", "gone", 4)
    assert "raise error from cause" in error.stack
    assert error.fingerprint == raised(LookupError("other words")).error.fingerprint
    assert error.fingerprint != raised(KeyError("gone")).error.fingerprint


def test_the_causes_are_in_the_stack():
    made = assignment(no_handler)
    try:
        throw(ValueError("effect"), KeyError("cause"))
    except ValueError as error:
        outcome = STEPS.raised(made, error)
    assert "KeyError: 'cause'" in outcome.error.stack
    assert outcome.error.stack.rstrip().endswith("ValueError: effect")


def test_signals():
    assert raised(angelica.Cancel("enough")) == Cancelled(message="enough")
    assert raised(angelica.Snooze(2.5)) == Snoozed(CLOCK.wall() + 2_500_000)
    assert raised(angelica.Snooze(-5)) == Snoozed(CLOCK.wall())
    fail, retry, later = raised(angelica.Fail("no")), raised(angelica.Retry()), raised(angelica.Retry(after=1))
    assert (fail.final, fail.error.reason) == (True, reasons.FAIL)
    assert (retry.final, retry.retry_after, retry.error.reason) == (False, None, reasons.RETRY)
    assert later.retry_after == SECOND


@pytest.mark.parametrize("after", [float("nan"), float("inf"), "1", [1]], ids=str)
def test_waits_that_are_no_numbers(after):
    assert raised(angelica.Retry(after=after)).retry_after is None
    outcome = raised(angelica.Snooze(after))
    assert isinstance(outcome, Failed)
    assert "no number of seconds" in outcome.error.message


def test_waits_are_bounded_by_what_a_store_can_keep():
    assert raised(angelica.Retry(after=1e300)).retry_after == LONGEST_WAIT
    assert raised(angelica.Snooze(1e300)) == Snoozed(CLOCK.wall() + LONGEST_WAIT)
    assert CLOCK.wall() + LONGEST_WAIT < 2**63


@pytest.mark.parametrize(
    ("answer", "wait"), [(1.5, 1_500_000), (-1, 0), (float("nan"), None), (1e300, LONGEST_WAIT), ("x", None)]
)
def test_a_backoff_of_the_users_own(answer, wait):
    assert raised(ValueError(), backoff=lambda failures: answer).retry_after == wait


def test_a_backoff_of_the_users_own_is_asked_with_the_failures_so_far():
    asked = []
    raised(ValueError(), backoff=asked.append, failures=2)
    assert asked == [2]


@pytest.mark.parametrize("stop", [asyncio.CancelledError(), Interrupted()], ids=["coroutine", "thread"])
def test_a_stop_ends_as_what_it_was_for(stop):
    made = assignment(no_handler, timeout=2 * SECOND)
    made.stop("timeout")
    made.stop("cancel", "later")  # the first reason stands
    outcome = STEPS.raised(made, stop)
    assert (outcome.error.reason, outcome.error.message) == (reasons.TIMEOUT, "did not end within 2 s")
    made = assignment(no_handler)
    made.stop("cancel", "why")
    assert STEPS.raised(made, stop) == Cancelled(message="why")
    for reason in ("release", "lost"):
        made = assignment(no_handler)
        made.stop(reason)
        assert STEPS.raised(made, stop) == Released()


def test_an_exception_on_the_way_out_of_a_stop_is_what_it_is():
    made = assignment(no_handler)
    made.stop("cancel")
    assert isinstance(STEPS.raised(made, ValueError()), Failed)


def test_a_stop_that_nobody_asked_for_is_a_failure():
    assert isinstance(raised(asyncio.CancelledError()), Failed)
    assert isinstance(raised(Interrupted()), Failed)


def test_arguments_come_with_the_context_where_it_is_asked_for():
    async def takes(n: int, context: angelica.Context): ...

    made = assignment(takes, payload='{"args":[3],"kwargs":{}}')
    args, kwargs = STEPS.arguments(made)
    assert args == [3] or kwargs["n"] == 3
    assert kwargs["context"].id == "t"


def test_arguments_that_do_not_fit_are_final_and_other_faults_are_not():
    made = assignment(no_handler, payload='{"args":[1],"kwargs":{}}')
    with pytest.raises(angelica.InvalidValue) as caught:
        STEPS.arguments(made)
    outcome = STEPS.unfit(made, caught.value)
    assert (outcome.final, outcome.error.reason) == (True, reasons.INVALID_ARGUMENTS)
    assert STEPS.unfit(made, ValueError()).final is False


class Child(ConnectionResetError): ...


@pytest.mark.parametrize("names", [("OSError",), ("ConnectionError",), ("builtins.OSError",), ()])
def test_retry_on_judges_by_the_whole_family(names):
    assert raised(Child(), retry_on=names).final is False


def test_retry_on_leaves_others_alone():
    assert raised(ValueError(), retry_on=("OSError",)).final is True

"""What a person did wrong fails a run with one line; what we did wrong keeps its stack."""

import dagster as dg
import pytest

from fl_assets.defs.failures import in_one_line


@pytest.mark.parametrize(
    ("error", "is_one_line"), [(LookupError("no decision zz"), True), (OSError("disk"), False)]
)
def test_an_error_that_is_named_has_no_stack(error, is_one_line):
    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=1))
    @in_one_line(LookupError)
    def answered() -> None:
        raise error

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([answered], instance=instance, raise_on_error=False)
        (failed,) = result.get_step_failure_events()
        shown = failed.step_failure_data.error
        retries = [event for event in result.all_events if event.is_step_up_for_retry]
    assert not result.success
    if is_one_line:
        assert (shown.message, shown.stack, shown.cause, retries) == ("no decision zz\n", [], None, [])
    else:
        assert shown.cause.stack

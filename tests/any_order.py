"""How a model is tried: some dozens of sequences, so that it takes seconds; KEYDESK_EXAMPLES=5000 tries as many."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def holds(model: type[RuleBasedStateMachine], *, sequences: int) -> None:
    """Fails where a step leaves something that the model does not say; so many sequences of up to forty steps."""
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=int(os.environ.get("KEYDESK_EXAMPLES", sequences)),
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.generate],  # to make a sequence shorter takes minutes; [*Phase] does it
            suppress_health_check=list(HealthCheck),
        ),
    )

"""All acts that are killed. `SHORT` is what the suite tries, `EVERY` all there is."""

from torture import file_scenarios, people_scenarios, scenarios

SHORT = (*scenarios.SCENARIOS, *people_scenarios.SCENARIOS, *file_scenarios.SCENARIOS)
EVERY = (*SHORT, *people_scenarios.MORE_SCENARIOS)

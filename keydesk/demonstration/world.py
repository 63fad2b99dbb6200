"""What the steps of the demo's world share: its clock, its chance, its people."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from store import importing
from store.actors import Actor
from store.last_use import LastUses
from store.peppers import Peppers

INGRID: Final = Actor("ingrid", "operator", "ssh 192.0.2.17")
TOR: Final = Actor("tor", "operator", "local tty1")


@dataclass
class World:
    """What the steps share."""

    now: datetime
    peppers: Peppers
    random: Random
    deliver: Callable[[datetime], object]
    begin: datetime
    companies: dict[str, int] = field(default_factory=dict)  # external id -> row
    users: dict[str, list[int]] = field(default_factory=dict)  # external id of the company -> usable resources
    last_uses: LastUses = field(default_factory=LastUses)
    steps: list[tuple[datetime, int, Callable[[datetime], object]]] = field(default_factory=list)

    def at(self, when: datetime, act: Callable[[datetime], object]) -> None:
        """Have something happen then, or as early as the world began, or as late as now."""
        self.steps.append((min(max(when, self.begin), self.now), len(self.steps), act))

    def days_ago(self, days: float) -> datetime:
        """An instant, in whole minutes."""
        return (self.now - timedelta(days=days)).replace(second=0)

    def actor(self) -> Actor:
        """Whoever sat at the desk."""
        return INGRID if self.random.random() < 0.7 else TOR

    def tell(self, now: datetime, **whole: list[dict[str, Any]]) -> None:
        """Have the main system tell of companies, users or licences."""
        with tempfile.TemporaryDirectory(prefix="keydesk-demo-") as folder:
            file = Path(folder) / "main-system.json"
            file.write_text(json.dumps(whole), encoding="utf-8")
            importing.take(INGRID, [file], now)

    def live(self) -> None:
        """Do all steps in their order, also those that a step adds for later."""
        while self.steps:
            self.steps.sort(key=lambda step: step[:2], reverse=True)
            when, _, act = self.steps.pop()
            act(when)

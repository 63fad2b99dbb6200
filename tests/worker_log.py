"""What a worker said, as facts."""

import io
import json
from typing import Any


class Said(io.StringIO):
    """What the worker's log holds, as facts."""

    @property
    def facts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def named(self, fact: str) -> list[dict[str, Any]]:
        return [line for line in self.facts if line["fact"] == fact]

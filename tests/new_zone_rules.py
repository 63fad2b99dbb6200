"""A program: plan at an instant, or pass every six hours between two, by the zone rules of this process.

python new_zone_rules.py STORE plan AT
python new_zone_rules.py STORE pass FROM TO
"""

import io
import sys
from datetime import datetime, timedelta

from jobs.json_log import JsonLog
from jobs.planning import Planner
from jobs.schedule import TIMETABLE
from jobs.worker import Worker
from store import database
from store.database import session

store, act, *instants = sys.argv[1:]
database.bind(store)
now, *until = (datetime.fromisoformat(instant) for instant in instants)
if act == "plan":
    with session():
        Planner(TIMETABLE).plan(now)
else:
    worker = Worker(timetable=TIMETABLE, log=JsonLog(io.StringIO()), version="0.1.0")
    while now <= until[0]:
        worker.once(now)
        now += timedelta(hours=6)
    worker.end(now)

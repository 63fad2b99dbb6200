"""Who acts, and what each role may do. The right is asked again in the transaction of every change."""

from dataclasses import dataclass

from store.errors import NotAllowed, NotFound
from store.tables import Admin

READ = "read"
# What a role may do beyond reading. An operator may do everything.
COMPANY_ADMIN_ACTS = frozenset(
    {"key.create", "key.edit-expiry", "key.rotate", "key.revoke", "integration.edit"},
)


@dataclass(frozen=True)
class Actor:
    """Somebody or something that acts: the name that events show, its role, and where it sits."""

    name: str
    role: str  # operator, company-admin, auditor
    origin: str
    company_id: int | None = None  # the only company a company admin, or an auditor of one company, reaches
    admin_id: int | None = (
        None  # the row that must still be enabled; None for the owner of the store file and the worker
    )

    def may(self, act: str, company_id: int | None) -> bool:
        """Whether the role reaches `act` on this company (None: on the installation)."""
        if self.company_id is not None and company_id != self.company_id:
            return False
        if self.role == "operator":
            return True
        if act == READ:
            return True
        return self.role == "company-admin" and act in COMPANY_ADMIN_ACTS


WORKER = Actor("worker", "operator", "worker")


def require(actor: Actor, act: str, company_id: int | None) -> None:
    """Raise NotAllowed unless the actor may, as the store stands now. Call it inside the transaction.

    What belongs to another company does not exist for an actor of one: NotFound, as for what was never there.
    """
    if actor.admin_id is not None:
        row = Admin.get_or_none(Admin.id == actor.admin_id)
        if row is None or row.disabled_at is not None or row.role != actor.role or row.company_id != actor.company_id:
            raise NotAllowed(f"The login of {actor.name} has been changed or ended; log in again.")
    if None not in {actor.company_id, company_id} and company_id != actor.company_id:
        raise NotFound("There is no such thing here; go back and look again.")
    if not actor.may(act, company_id):
        raise NotAllowed(f"{actor.name} ({actor.role}) may not do this ({act}) here; ask an operator.")

"""State transfers in the model of Galera: incremental and full ones, which may be cut off at every stage."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.simulation.parts import Disk, Lineage, Server, Violation, differ

if TYPE_CHECKING:
    from tests.simulation.galera import Galera


def proceed(galera: Galera, server: Server, rng: Random, chance: float) -> bool:
    """One step of a transfer that a server waits for or is in. True if something was done."""
    group, lineage = server.group, server.lineage
    if lineage is None or group is None:
        return False
    if server.transfer == "wanted":
        if not group.primary:
            if server.answers:  # it had data before, and keeps them; it cannot vouch for what it missed
                server.transfer, server.last_prim = None, None
                server.inbox.clear()
                server.status, server.state = "non-Primary", 0
                return True
            return False
        donors = [
            s for s in group.members
            if s is not server and s.awake and s.answers and s.transfer is None and s.state == 4
            and galera.side.get(s.number, 0) == galera.side.get(server.number, 0)
        ]  # fmt: skip
        if not donors:
            return False
        donor = rng.choice(sorted(donors, key=lambda s: s.number))
        galera.drain(donor)
        server.donor = donor
        if server.uuid == lineage.uuid and len(server.log) >= server.target:
            galera.log(f"    {server} is ahead of the group and aborts")
            galera.crash(server)
        elif server.uuid == lineage.uuid and (chance >= 1 or rng.random() < 0.8):
            server.transfer, server.answers = "ist", True
        elif server.answers:
            galera.log(f"    {server} would need a full transfer while running, and aborts")
            galera.crash(server)
        else:
            server.transfer, server.stage = "sst", 0
            donor.state, donor.donating = 2, True
        return True
    donor = server.donor
    if donor is None or not donor.awake or not galera.reach(donor, server):
        if donor is not None and donor.awake and server.transfer == "sst":
            donor.end_donation()
        if server.stage > 0 or server.transfer == "sst":
            galera.crash(server)
        else:
            server.transfer, server.donor = "wanted", None
        return True
    if server.transfer == "ist":
        _catch_up(server, lineage)
        return True
    server.stage += 1
    disk = server.disk
    if server.stage == 1:
        disk.taint = True
        galera.log(f"    {server}: state transfer begins, taint set")
    elif server.stage == 2:
        overwrite(galera, disk, donor)
        disk.kind, disk.log, disk.uuid, disk.nameless = "half", [], "", False
        server.uuid, server.log = "", []
    else:
        galera.drain(donor)
        if len(donor.log) < server.target:
            server.stage -= 1
            return False
        donor.state = 4 if donor.status == "Primary" else 0
        donor.donating = donor.status != "Primary"
        disk.kind, disk.uuid, disk.log = "galera", donor.uuid, list(donor.log)
        server.uuid, server.log = donor.uuid, list(donor.log)
        covered = [n for n, event in enumerate(server.inbox) if isinstance(event, int) and event <= len(server.log)]
        for _ in range(covered[-1] + 1 if covered else 0):
            server.inbox.popleft()  # also that it was non-Primary in between
        _catch_up(server, lineage)
        server.flush()
        seen = max((seqno for seqno in lineage.groups if seqno <= len(server.log)), default=0)
        if seen > server.target and server in lineage.groups[seen].members:
            galera._saw(server, seen)  # the view that came with the data
    return True


def _catch_up(server: Server, lineage: Lineage) -> None:
    server.log.extend(lineage.log[len(server.log) : server.target])
    server.transfer, server.donor, server.answers = None, None, True
    server.state = 3
    if lineage.log[: len(server.log)] != server.log:
        raise Violation(
            "P3", f"{server} joined by an incremental transfer although its history differs: {differ(server.log, lineage.log)}"
        )  # fmt: skip


def overwrite(galera: Galera, disk: Disk, donor: Server) -> None:
    """P3: what a full transfer is about to destroy must be no other history's."""
    if disk.kind == "standalone":
        raise Violation("P3", f"standalone data of {disk.number} are overwritten")
    if disk.kind == "galera" and disk.uuid != donor.uuid and not void(disk):
        raise Violation("P3", f"{'ABCDE'[disk.number]}'s datadir of another cluster is overwritten")
    if disk.kind == "galera":
        assert donor.lineage is not None
        lost = [ident for ident in disk.log if ident in galera.precious and ident not in donor.lineage.idents]
        if lost:
            raise Violation("P3", f"acknowledged commits {lost} of {'ABCDE'[disk.number]} are overwritten")


def void(disk: Disk) -> bool:
    """Whether the datadir holds nothing but configuration changes of a bootstrap that never opened."""
    return all(ident.startswith("cc") for ident in disk.log)

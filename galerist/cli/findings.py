"""What `galerist doctor` makes of what it measured: findings, each with its remedy. Pure."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bootstrap.scout import Answer, Way
from galerist.endpoints import show
from galerist.view.facts import Cluster
from galerist.view.listing import as_data
from galerist.view.page import headline, tone

GIB = 1 << 30


class Level(enum.StrEnum):
    """How bad it is: nothing, worth a thought, to be mended."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``remedy`` is empty where there is nothing to do."""

    level: Level
    area: str
    what: str
    remedy: str = ""


def ok(area: str, what: str) -> Finding:
    return Finding(Level.OK, area, what)


def warn(area: str, what: str, remedy: str) -> Finding:
    return Finding(Level.WARN, area, what, remedy)


def bad(area: str, what: str, remedy: str) -> Finding:
    return Finding(Level.BAD, area, what, remedy)


def version(area: str, program: str, said: str, least: tuple[int, int]) -> Finding:
    """``said`` is what the program says of its version."""
    found = re.search(r"(\d+)\.(\d+)(?:\.\d+)?", said)
    if found is None:
        return warn(area, f"{program} does not say its version: {said[:80]!r}", f"look at {program} --version")
    words = f"{program} {found[0]}"
    if (int(found[1]), int(found[2])) < least:
        return bad(area, f"{words} is older than {least[0]}.{least[1]}", f"install {least[0]}.{least[1]} or newer")
    return ok(area, words)


def space(area: str, folder: str, free: int, total: int, inodes: float) -> Finding:
    """Bytes free and in all on the volume of a folder, and the share of its inodes that are free."""
    words = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free on the volume of {folder}"
    remedy = f"free space on the volume of {folder}, or make it larger: a full state transfer needs room as well"
    if free < GIB or free < total * 0.05 or inodes < 0.02:
        return bad(area, words + (f", {inodes:.0%} of its inodes" if inodes < 0.02 else ""), remedy)
    if free < 5 * GIB or free < total * 0.15:
        return warn(area, words, remedy)
    return ok(area, words)


def files(area: str, whose: str, limit: int) -> Finding:
    """How many files a process may have open."""
    if limit < 4096:
        return bad(area, f"{whose} may have only {limit} files open", "raise LimitNOFILE of its unit to 65536")
    if limit < 16384:
        return warn(area, f"{whose} may have {limit} files open", "raise LimitNOFILE of its unit to 65536")
    return ok(area, f"{whose} may have {limit} files open")


def name(area: str, host: str, addresses: tuple[str, ...] | None, mine: bool) -> Finding:
    """A host and what it resolves to here; None: to nothing."""
    if addresses is None:
        return bad(area, f"{host} does not resolve on this machine", f"put {host} into the DNS or into /etc/hosts")
    literal = host in addresses
    loops = all(address.startswith("127.") or address == "::1" for address in addresses)
    if mine and loops and not literal and host != "localhost":
        return warn(
            area, f"{host}, this node's own name, resolves to {', '.join(addresses)} here",
            "give the setting 'host' an address that others reach, or correct /etc/hosts",
        )  # fmt: skip
    return ok(area, f"the address {host}" if literal else f"{host} resolves to {', '.join(addresses)}")


def ways(area: str, origin: str, walked: tuple[Way, ...]) -> Iterable[Finding]:
    """What answers from ``origin``, and what does not."""
    closed = [way for way in walked if way.trouble]
    for way in closed:
        place = show((way.host, way.port))
        remedy = f"let {place} through from {origin}, start what listens there, or correct '{way.setting}'"
        level = Level.WARN if way.setting == "check_port" else Level.BAD
        words = f"{way.node}'s port for {way.what}, {place}, does not answer from {origin}: {way.trouble}"
        yield Finding(level, area, words, remedy)
    if walked and not closed:
        names = sorted({way.node for way in walked})
        count = "1 port answers" if len(walked) == 1 else f"{len(walked)} ports answer"
        yield ok(area, f"{', '.join(names)}: {count} from {origin}")


def answers(nodes: tuple[str, ...], found: Mapping[str, Answer], asked: tuple[float, float]) -> Iterable[Finding]:
    """What the agents reach of one another, and their clocks; ``asked`` is when by this machine's clock, from and to."""
    if len(versions := {answer.version for answer in found.values()}) > 1:
        words = f"agents of {len(versions)} versions of galerist: {', '.join(sorted(versions))}"
        yield warn("cluster", words, "finish the upgrade")
    for node in nodes:
        area = f"way from {node}"
        if node not in found:
            remedy = "its agent hangs, or is older than this command: galerist list, galerist version"
            yield warn(area, f"{node} has not said what it reaches", remedy)
            continue
        yield from ways(area, node, found[node].ways)
        clocks = found[node].clock
        yield clock(area, node, min(clocks - asked[0], 0.0) or max(clocks - asked[1], 0.0))


def clock(area: str, whose: str, ahead: float) -> Finding:
    """By how many seconds another clock is ahead of this one."""
    if abs(ahead) > 5:
        way = "ahead of" if ahead > 0 else "behind"
        words = f"the clock of {whose} is {abs(ahead):.0f} s {way} this machine's"
        return warn(area, words, "let both follow NTP (chrony, systemd-timesyncd); history and certificates rest on it")
    return ok(area, f"the clock of {whose} agrees")


def durability(area: str, variables: Mapping[str, str]) -> list[Finding]:
    """Variables of a running server that give up what galerist promises."""
    found = []
    if variables.get("innodb_flush_log_at_trx_commit", "1") != "1":
        found.append(bad(
            area,
            f"innodb_flush_log_at_trx_commit={variables['innodb_flush_log_at_trx_commit']}: when nodes crash in quick "
            "succession, commits that clients were told of are lost",
            "SET GLOBAL innodb_flush_log_at_trx_commit=1, and take the option out of the configuration",
        ))  # fmt: skip
    if variables.get("innodb_doublewrite", "ON") == "OFF":
        words = "innodb_doublewrite=OFF: a crash may leave torn pages, and the node cannot be recovered"
        found.append(bad(area, words, "take the option out and restart the node"))
    if variables.get("innodb_flush_method", "").lower() == "nosync":
        words = "innodb_flush_method=nosync: commits are lost when the machine crashes"
        found.append(bad(area, words, "take the option out and restart the node"))
    if variables.get("log_bin", "OFF") == "ON" and variables.get("sync_binlog", "1") == "0":
        words = "log_bin without sync_binlog: after a crash the binary log may lack commits, and replicas stop"
        found.append(warn(area, words, "SET GLOBAL sync_binlog=1"))
    provider = variables.get("wsrep_provider_options", "")
    for option in ("pc.ignore_sb", "pc.ignore_quorum"):
        if re.search(rf"\b{re.escape(option)}\s*=\s*(true|yes|1)", provider):
            found.append(bad(area, f"{option} is on: two Primary Components may exist", f"take {option} out"))
    return found or [ok(area, "no setting gives up commits")]


def registry(area: str, place: str, answer: float | str) -> Finding:
    """One endpoint: the seconds that an answer took, or why there was none."""
    if isinstance(answer, str):
        return bad(area, f"{place} does not answer: {answer}", "start etcd there, or correct the setting 'registry'")
    if answer > 0.5:
        words = f"{place} took {answer * 1000:.0f} ms for one answer"
        return warn(area, words, "look at its disk and its load: leases end when heartbeats are late")
    return ok(area, f"{place} answers in {answer * 1000:.0f} ms")


def endpoints(area: str, count: int) -> list[Finding]:
    """How many endpoints the setting names."""
    if count == 1:
        remedy = "name all members of the registry, three or five of them, in the setting 'registry'"
        return [warn(area, "one endpoint only: while it is away no node can start or be recovered", remedy)]
    if count % 2 == 0:
        remedy = "an odd number of members of the registry is better"
        return [warn(area, f"{count} endpoints bear the loss of no more than {count - 1} would", remedy)]
    return []


def cluster(seen: Cluster) -> Iterable[Finding]:
    """What the registry says of the cluster."""
    data = as_data(seen)
    first = headline(data, seen.state.paused)
    yield Finding(
        {"good": Level.OK, "busy": Level.WARN, "bad": Level.BAD}[first.tone],
        "cluster",
        first.sentence,
        first.command or "",
    )
    for one in data["members"]:
        if tone(one) != "good":
            level = Level.WARN if tone(one) == "busy" else Level.BAD
            words = f"{one['name']} is {one['state']}: {one['reason']}"
            yield Finding(level, "cluster", words, one["remedy"] or f"galerist explain {one['name']}")
    view = seen.state.view
    if view is not None and len(view.members) == 1 and not view.arbitrators:
        yield warn("cluster", "one member: when it stops, everything stops", "add two more nodes")
    elif view is not None and (len(view.members) + len(view.arbitrators)) % 2 == 0:
        words = f"{len(view.members) + len(view.arbitrators)} members: a split in halves stops both"
        yield warn("cluster", words, "add a node or an arbitrator (garbd)")
    versions = {report.version for report in seen.reports if report.version}
    if len(versions) > 1:
        yield warn(
            "cluster", f"servers of {len(versions)} versions: {', '.join(sorted(versions))}", "finish the upgrade"
        )
    if seen.state.drained:
        yield warn("cluster", f"drained: {', '.join(seen.state.drained)}", f"galerist undrain {seen.state.drained[0]}")
    if seen.state.restart is not None:
        yield warn("cluster", "a restart is unfinished", "galerist restart --rolling, or galerist restart --abort")
    if not seen.proxies:
        yield warn("proxy", "no proxy reports", "start galerist haproxy, if clients come by a proxy")
    for proxy in seen.proxies:
        if proxy.error:
            yield bad("proxy", f"{proxy.proxy}: {proxy.error}", "mend what the sentence names; the watcher tries again")
        else:
            yield ok("proxy", f"{proxy.proxy} writes to {', '.join(proxy.writing) or 'nobody'}")

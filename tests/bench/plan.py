# SPDX-License-Identifier: Apache-2.0
"""Which case is measured on which path, and the shell script that does it in the guest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from cases import ARRIVES, INNER, LOCAL, PLAIN, PORT, Case, all_cases, arriving, ip

SIZES = (64, 576, 1200)
"""Octets of data in the inner UDP packet."""
PACKETS = 151
WIRE = {"a": ("02:00:00:00:00:01", 0), "b": ("02:00:00:00:00:02", 1)}
"""The two hosts on a veth pair, `v` in each: hardware address, side."""


@dataclass(frozen=True)
class Measurement:
    """One case on one path.

    Paths: ``local`` from one namespace to another over a veth pair with its offloads, ``software`` the same without
    them, ``forward`` through a router into the tunnel, ``decap`` out of it, ``decap gro`` the same where the link merges
    what comes out, ``tcp`` bulk with merging and segmentation, ``tcp plain`` without.
    """

    case: Case
    path: str
    sizes: tuple[int, ...] = SIZES
    packets: int = PACKETS


DECAP = ("decap", "decap gro")
ROUTED = ("forward", *DECAP)
OFFLOADS = {
    "local": "tx on sg on tso on gso on gro off",
    "software": "tx off sg on tso off gso on gro off",
    "tcp": "tx on sg on tso off gso on gro on",
    "tcp plain": "tx on sg on tso off gso off gro off",
}


def prelude() -> list[str]:
    """Two hosts and a wire, and a router whose two devices are taps."""
    lines = ["set -e", "for n in a b r; do /usr/sbin/ip netns add $n; done"]
    router = [
        "tuntap add mode tap name i",
        "tuntap add mode tap name o",
        "link set i address 02:00:00:00:01:01 up",
        "link set o address 02:00:00:00:00:01 up",
        f"addr add {ARRIVES[4][0]}/24 dev i",
        f"addr add {ARRIVES[6][0]}/64 dev i nodad",
        f"addr add {LOCAL[4][0]}/24 dev o",
        f"addr add {LOCAL[6][0]}/64 dev o nodad",
        *(f"neigh replace {LOCAL[v][1]} lladdr {WIRE['b'][0]} nud permanent dev o" for v in (4, 6)),
    ]
    lines += [ip("r", router), "/usr/sbin/ip -n a link add v type veth peer name v netns b"]
    lines += ["bench noqueue r o"]
    forwarding = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"
    lines += [f"/usr/sbin/ip netns exec r sh -c '{forwarding}'"]
    for ns, (mac, side) in WIRE.items():
        peer = WIRE["ba"[side]][0]
        host = [
            f"link set v address {mac} up",
            "link set lo up",
            f"addr add {LOCAL[4][side]}/24 dev v",
            f"addr add {LOCAL[6][side]}/64 dev v nodad",
            *(f"neigh replace {LOCAL[v][1 - side]} lladdr {peer} nud permanent dev v" for v in (4, 6)),
        ]
        lines += [ip(ns, host)]
    return [*lines, "set +e"]


def script(measurements: Iterable[Measurement]) -> str:
    """The whole script. What goes wrong in one measurement is said, and the next one goes on."""
    lines = prelude()
    offloads = ""
    for number, measurement in enumerate(measurements):
        wanted = OFFLOADS.get(measurement.path, offloads)
        if wanted != offloads:
            lines += [f"bench offloads {ns} v {wanted}" for ns in WIRE]
            offloads = wanted
        lines += ["(set -e", *_one(number, measurement), f") || echo failed {number}"]
    return "\n".join(lines) + "\n"


def _one(number: int, what: Measurement) -> Iterator[str]:
    case = what.case
    ends = {"r": 0} if what.path in ROUTED else {ns: side for ns, (_, side) in WIRE.items()}
    tunnel = bool(case.kind)
    if tunnel:
        for ns, side in ends.items():
            # many ports are open where the packets arrive
            yield from (case if side else replace(case, ports=1)).up(ns, side, ARRIVES if what.path in DECAP else LOCAL)
    if what.path == "decap":
        # a link that merges sums what comes out of it
        yield "bench offloads r t gro off"
    if tunnel and what.path == "tcp plain":
        # TCP asks the device it sends by, which is the tunnel
        yield from (f"bench offloads {ns} t tso off gso off" for ns in ends)
    source, destination = INNER[case.inner] if tunnel else LOCAL[case.inner]
    yield "sleep 0.1"  # of the guest's time, which passes at once: what is left to do after a change gets done
    for size in what.sizes:
        yield f"echo row {number} {size} $({_call(what, source, destination, size)})"
    if tunnel:
        for ns, side in ends.items():
            yield from (case if side else replace(case, ports=1)).down(ns)


def _call(what: Measurement, source: str, destination: str, size: int) -> str:
    match what.path:
        case "decap" | "decap gro":
            here, there = ARRIVES[what.case.outer]
            onward = f"{destination} {LOCAL[what.case.inner][1]} {size} {what.packets}"
            return f"bench decap r i o {onward} {there} {here} {PORT} {what.case.front} {'zero' if what.case.csum == 'off' else 'full'}"
        case "forward":
            arrives = ARRIVES[what.case.inner][1]
            check = {"on": "full", "remote": "full", "off": "zero", "-": "none"}[what.case.csum]
            return f"bench forward r i o {arrives} {destination} {size} {what.packets} {check}"
        case "local" | "software":
            return f"bench udp a b {source} {destination} {size} {what.packets}"
        case _:
            return f"bench tcp a b {source} {destination} {size}"


def whole() -> list[list[Measurement]]:
    """Everything, the rows of docs/benchmarks.md: what is measured in one guest after the other.

    A row and what it is measured by are in the same guest.
    """
    cases = all_cases()
    guests = []
    for outer in (4, 6):
        plan = [Measurement(PLAIN[outer], "local")]
        guests += [plan + [Measurement(case, "local") for case in cases if case.outer == outer]]
    plan = [Measurement(PLAIN[4], "software", ENDS), Measurement(PLAIN[6], "software", ENDS)]
    guests += [plan + [Measurement(case, "software", ENDS) for case in cases if _is_compared(case)]]
    for outer in (4, 6):
        plan = [Measurement(PLAIN[outer], "forward", ENDS)]
        # WireGuard sends nothing before its peer has answered, and here is none
        routed = [case for case in cases if case.outer == outer and case.kind != "wireguard"]
        guests += [plan + [Measurement(case, "forward", ENDS) for case in routed]]
    merging = [case for case in arriving() if case.csum == "on" and case.name.startswith(KINDS)]
    plan = [Measurement(case, "decap", ENDS) for case in arriving()]
    guests += [plan + [Measurement(case, "decap gro", ENDS) for case in merging]]
    guests += [[Measurement(case, path, (BULK,)) for path in ("tcp", "tcp plain") for case in _bulk(cases)]]
    many = [case for case in cases if case.name in MANY and case.outer == 4 and case.csum == "on"]
    return [*guests, [Measurement(replace(case, ports=n), "local", (64,)) for case in many for n in (1, 100, 10000)]]


def _bulk(cases: list[Case]) -> Iterator[Case]:
    """Tunnels for TCP. GRE in the kernel's own fou is not among them: merged packets are lost there, and TCP crawls."""
    yield PLAIN[4]
    for case in cases:
        if case.outer == 4 and case.inner == 4 and case.csum != "off":
            gre = case.name.startswith("gre")
            if not (gre and case.module == "fou"):
                yield replace(case, against="") if gre else case


ENDS = (64, 1200)
BULK = 4 << 20
"""Octets of one TCP transfer."""
SHORTER = tuple(BULK // 2 + 50_000 * more for more in range(7))
"""Octets of the transfers of the cut: where acknowledgements fall in one is worth two percent, so the median of several is held."""
MANY = ("ipip+fou", "ipip+gue", "ipip+gutless fou", "ipip+gutless gue", "ipip+gutless bare")
KINDS = ("ipip", "ip6tnl")
FURTHER = (
    *("gre+gue", "gre+gutless header", "gre+gutless group"),
    *("ipip+fou", "ipip+gutless bare by profile", "ipip+gutless group", "ipip+gutless auth"),
    *("ip6tnl+gutless bare by profile", "ip6tnl+gutless group"),
)


def _is_compared(case: Case) -> bool:
    """FOU, GUE and the bare form, ours and the kernel's, in links that carry IPv4."""
    label, _, encapsulation = case.name.partition("+")
    ours = ("gutless fou", "gutless gue", "gutless bare")
    return label in KINDS and encapsulation in ("fou", "gue", *ours) and case.csum != "remote"


def cut() -> list[Measurement]:
    """What is measured at every change: every bar is in it, and one row of each further format."""
    cases = all_cases()
    compared = [case for case in cases if _is_compared(case)]
    plan = [Measurement(PLAIN[4], "local"), Measurement(PLAIN[4], "forward")]
    plan += [Measurement(case, "local") for case in compared]
    further = [
        case
        for case in cases
        if (case.csum == "remote" and case.name.startswith("ipip+"))
        or (case.name in FURTHER and case.csum == "on")
    ]
    plan += [Measurement(case, "local") for case in further if not _is_compared(case)]
    plan += [Measurement(case, "forward", (64, 1200)) for case in compared if case.outer == 4 or case.csum == "on"]
    fast = [case for case in compared if case.outer == 4 and case.csum == "on"]
    plan += [Measurement(case, "tcp", SHORTER) for case in fast]
    headers = [case for case in arriving() if case.outer == 4 and case.inner == 4 and (case.verify or case.name == "ipip+gue")]
    plan += [Measurement(case, "decap", (1200,)) for case in headers if case.csum == "on"]
    return plan

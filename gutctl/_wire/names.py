# SPDX-License-Identifier: Apache-2.0
"""Names of numbers that IANA and IEEE assign: those that people meet in tunnels."""

from __future__ import annotations

PROTOCOLS = {
    0: "hop-by-hop options",
    1: "ICMP",
    2: "IGMP",
    4: "IPv4",
    6: "TCP",
    17: "UDP",
    33: "DCCP",
    41: "IPv6",
    43: "routing header",
    44: "fragment header",
    46: "RSVP",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    59: "nothing",
    60: "destination options",
    88: "EIGRP",
    89: "OSPF",
    103: "PIM",
    108: "IPComp",
    112: "VRRP",
    115: "L2TP",
    132: "SCTP",
    135: "mobility header",
    136: "UDP-Lite",
    137: "MPLS",
    143: "Ethernet",
}

ETHERTYPES = {
    0x0800: "IPv4",
    0x0806: "ARP",
    0x6558: "Ethernet",
    0x8100: "VLAN",
    0x86DD: "IPv6",
    0x8847: "MPLS",
    0x88A8: "service VLAN",
    0x88CC: "LLDP",
}

ETHERTYPE_PROTOCOLS = {0x0800: 4, 0x86DD: 41, 0x6558: 143}
"""EtherTypes of what has an IP protocol number too."""

ICMP = {
    (0, 0): "echo reply",
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (3, 4): "fragmentation needed",
    (3, 13): "prohibited",
    (5, 1): "redirect",
    (8, 0): "echo request",
    (11, 0): "time exceeded",
    (11, 1): "reassembly time exceeded",
    (12, 0): "parameter problem",
}

ICMP6 = {
    (1, 0): "no route",
    (1, 1): "prohibited",
    (1, 3): "address unreachable",
    (1, 4): "port unreachable",
    (2, 0): "packet too big",
    (3, 0): "hop limit exceeded",
    (4, 0): "parameter problem: field",
    (4, 1): "parameter problem: next header",
    (4, 2): "parameter problem: option",
    (128, 0): "echo request",
    (129, 0): "echo reply",
    (130, 0): "multicast listener query",
    (131, 0): "multicast listener report",
    (133, 0): "router solicitation",
    (134, 0): "router advertisement",
    (135, 0): "neighbour solicitation",
    (136, 0): "neighbour advertisement",
    (143, 0): "multicast listener report",
}

DCCP_TYPES = (
    *("request", "response", "data", "ack", "dataack"),
    *("closereq", "close", "reset", "sync", "syncack"),
)

SCTP_CHUNKS = {
    0: "DATA",
    1: "INIT",
    2: "INIT ACK",
    3: "SACK",
    4: "HEARTBEAT",
    5: "HEARTBEAT ACK",
    6: "ABORT",
    7: "SHUTDOWN",
    8: "SHUTDOWN ACK",
    9: "ERROR",
    10: "COOKIE ECHO",
    11: "COOKIE ACK",
    14: "SHUTDOWN COMPLETE",
}


def protocol_name(number: int) -> str:
    """``IPv4``, or ``protocol 200`` for a number without a name here."""
    return PROTOCOLS.get(number, f"protocol {number}")

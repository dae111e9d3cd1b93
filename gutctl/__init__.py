# SPDX-License-Identifier: Apache-2.0
"""gutctl: ports, profiles and tunnels of the gutless kernel module.

The public doors are :mod:`gutctl.encap` (bytes on the wire),
:mod:`gutctl.netlink` (the kernel) and :mod:`gutctl.cli` (the command line).
"""

__version__ = "0.1.0"

# SPDX-License-Identifier: Apache-2.0
"""Which packets yet to be segmented a device takes: its features, as ethtool -K sets them."""

from __future__ import annotations

import errno
from typing import Final

from gutctl.errors import GutctlError, NotFoundError

__all__ = ["segmentation"]

_FEATURES: Final = (
    "tx-tcp-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-tcp-mangleid-segmentation",
    "tx-tcp6-segmentation",
    "tx-sctp-segmentation",
    "tx-udp-segmentation",
    "tx-gso-list",
)
"""NETIF_F_GSO_SOFTWARE, which tunnel links have and can be without."""


def segmentation(name: str, on: bool) -> None:
    """Let a device of this thread's namespace take packets yet to be segmented, or only single ones.

    The limit ``gso_max_segs`` does not hold for packets of virtual machines, whose segments nobody has counted, and keeps
    TCP from building large ones at all.

    Raises:
        NotFoundError: there is no such device.
        GutctlError: the kernel refuses.
    """
    from pyroute2.ethtool.ioctl import EthtoolError, IoctlEthtool, NoSuchDevice

    tool = IoctlEthtool(name)
    try:
        features = tool.get_features()
        there = [one for one in _FEATURES if one in features and features.is_available(one)]
        for one in there:
            features.set_value(one, on)
        tool.set_features(features)
    except NoSuchDevice:
        raise NotFoundError(f"there is no device {name}") from None
    except (EthtoolError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENODEV:
            raise NotFoundError(f"there is no device {name}") from None
        raise GutctlError(f"the segmentation of {name} cannot be turned {'on' if on else 'off'}: {error}") from error
    finally:
        tool.sock.close()  # version 0.7 has no close()

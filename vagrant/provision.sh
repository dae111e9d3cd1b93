#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# provision.sh NAME MAC=ADDRESS,ADDRESS...: run in a machine, as root, by Vagrant. Names it, gives the devices on its wires
# their addresses, and installs module and tool from the bundle. Again: the same result.

set -eu
bundle=/tmp/gutctl-bundle.tar
name=$1
shift
say() { echo "$name: $*"; }

echo "$name" >/etc/hostname
hostname "$name"
sed -i '/^127.0.1.1/d' /etc/hosts
echo "127.0.1.1 $name" >>/etc/hosts
mkdir -p /etc/systemd/network
for wire; do
    mac=${wire%%=*}
    {
        printf '[Match]\nMACAddress=%s\n[Network]\nDHCP=no\nIPv6AcceptRA=no\n' "$mac"
        echo "${wire#*=}" | tr ',' '\n' | sed 's/^/Address=/'
    } >"/etc/systemd/network/60-wire-$(echo "$mac" | tr -d :).network"
done
if [ -e /run/systemd/netif/state ]; then networkctl reload; else systemctl --quiet enable --now systemd-networkd; fi

rm -rf /tmp/gutctl-bundle
mkdir /tmp/gutctl-bundle
tar -x -f "$bundle" -C /tmp/gutctl-bundle
cd /tmp/gutctl-bundle

release=$(uname -r)
if [ ! -f "modules/$release.ko" ]; then
    say "building the module for $release"
    if [ ! -e "/lib/modules/$release/build" ] || ! command -v make >/dev/null || ! command -v gcc >/dev/null; then
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install make gcc libc6-dev "linux-headers-$release" >/dev/null
    fi
    make -s -C kmod
    cp kmod/gutless.ko "modules/$release.ko"
fi
install -D -m 644 "modules/$release.ko" "/lib/modules/$release/updates/gutless.ko"
depmod "$release"

python3 -m venv --without-pip --clear /opt/gutctl
PYTHONPATH=$PWD/pip /opt/gutctl/bin/python -m pip --disable-pip-version-check -q \
    install --no-compile --no-cache-dir --no-index --find-links wheels gutctl
ln -sf /opt/gutctl/bin/gutctl /usr/local/bin/gutctl
cd /
rm -rf /tmp/gutctl-bundle "$bundle"
say "$(gutctl --version), gutless for $release"

# SPDX-License-Identifier: Apache-2.0
"""gutctl doctor: what it finds in prepared machines, and the command that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runner import must
from fake_kernel import ROOT as HERE
from fake_kernel import Machine as Fake

from gutctl import __version__, ethtool
from gutctl.doctor import FELLOWS, NEEDED, SECURE_BOOT, TABLE, TABLE_FULL, Finding, Level, Machine, examine, status
from gutctl.errors import ExitStatus
from gutctl.model import Module

RELEASE = "6.1.0-56-amd64"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A root with modules of one kernel."""
    folder = tmp_path / "lib/modules" / RELEASE
    folder.mkdir(parents=True)
    (tmp_path / "sys/module").mkdir(parents=True)
    lines = [f"kernel/net/ipv4/{name}.ko.xz: kernel/net/core.ko" for name in NEEDED[:-1]]
    (folder / "modules.dep").write_text("\n".join([*lines, "updates/gutless.ko: kernel/x.ko"]) + "\n")
    (folder / "modules.builtin").write_text(f"kernel/net/ipv4/{NEEDED[-1]}.ko\n")
    return tmp_path


def load(files: Path, version: str = __version__) -> None:
    (files / "sys/module/gutless").mkdir()
    (files / "sys/module/gutless/version").write_text(version + "\n")


def find(files: Path, fake: Fake | None = None) -> list[Finding]:
    return list(examine((fake or Fake()).world(), Machine(files, RELEASE)))


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def test_all_is_well(files: Path) -> None:
    load(files)
    fake = Fake()
    must(fake, "tunnel add west --remote 198.51.100.7")
    found = find(files, fake)
    assert bad(found) == [] and status(found) is ExitStatus.OK
    assert found[0].text == f"module gutless {__version__} for {RELEASE}, loaded; gutctl {__version__}"
    assert any("tunnel west to 198.51.100.7 is complete" in finding.text for finding in found)


def test_not_loaded(files: Path) -> None:
    found = find(files)
    assert status(found) is ExitStatus.UNSUPPORTED
    assert (found[0].level, found[0].command) == (Level.FAIL, "modprobe gutless")


def test_not_installed_for_this_kernel(files: Path) -> None:
    other = files / "lib/modules/6.1.0-55-amd64"
    (files / "lib/modules" / RELEASE).rename(other)
    found = find(files)
    assert status(found) is ExitStatus.UNSUPPORTED
    assert "not installed for the running kernel 6.1.0-56-amd64 (only for 6.1.0-55-amd64)" in found[0].text
    assert any("has no module udp_tunnel" in finding.text for finding in found)


def test_secure_boot(files: Path) -> None:
    variable = files / SECURE_BOOT
    variable.parent.mkdir(parents=True)
    variable.write_bytes(b"\x06\x00\x00\x00\x00")
    assert not any("Secure Boot" in finding.text for finding in find(files))
    variable.write_bytes(b"\x06\x00\x00\x00\x01")
    (found,) = [finding for finding in find(files) if "Secure Boot" in finding.text]
    assert found.command is not None and found.command.startswith("mokutil --import")
    assert "Key was rejected by service" in found.text


def test_other_version(files: Path) -> None:
    load(files, "0.0.9")
    (found,) = bad(find(files))
    assert found.level is Level.WARN and "not the same version" in found.text


def test_settings_and_conflicts(files: Path) -> None:
    load(files)
    fake = Fake()
    fake.spaces[HERE].sysctls["net/ipv4/conf/all/rp_filter"] = "1"
    fake.spaces[HERE].sysctls["net/ipv4/ip_forward"] = "0"
    fake.spaces[HERE].owners[4, 6080] = "snmpd, pid 7"
    must(fake, "port add 7000 -6 --any-source")
    found = {finding.text: finding for finding in find(files, fake)}
    rp_filter = found["net.ipv4.conf.all.rp_filter=1 drops answers on asymmetric paths"]
    assert rp_filter.command == "sysctl net.ipv4.conf.all.rp_filter=2"
    assert any("snmpd, pid 7" in text for text in found)
    (open_port,) = [finding for text, finding in found.items() if "everybody inject" in text]
    assert open_port.command == "gutctl port set 7000 -6 --from PREFIX"
    assert status(found.values()) is ExitStatus.OK


@pytest.mark.parametrize("damage", ["port del 6080 --force", "profile del 1 --force", "tunnel set west --down"])
def test_the_command_mends_it(files: Path, damage: str) -> None:
    load(files)
    fake = Fake()
    must(fake, "tunnel add west --remote 198.51.100.7 --sport 50000-50001")
    must(fake, damage)
    (found,) = bad(find(files, fake))
    assert found.command is not None
    must(fake, found.command.removeprefix("gutctl "))
    assert bad(find(files, fake)) == []


def test_nic_that_does_not_hash_ports(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(files)
    monkeypatch.setattr(ethtool, "rx_rings", lambda device: 4)
    monkeypatch.setattr(ethtool, "hashes_udp_ports", lambda device, family: family == 6)
    found = bad(find(files))
    assert found and all("does not hash UDP ports over IPv4" in finding.text for finding in found)
    assert all(f.command is not None and f.command.endswith("rx-flow-hash udp4 sdfn") for f in found)


def test_the_loopback_device_says_nothing() -> None:
    """A device without queues to choose from: the question is refused, not answered wrongly."""
    assert ethtool.hashes_udp_ports("lo", 4) is None
    assert ethtool.rx_rings("lo") == 0


def test_without_the_module_as_a_user_sees_it() -> None:
    fake = Fake()
    fake.loaded = False
    result = must(fake, "doctor --json", 7)
    levels = {finding["level"] for finding in result.record["findings"]}
    assert "fail" in levels
    assert must(fake, "doctor", 7).out.count("\n") == len(result.record["findings"])


def test_the_kernel_s_own_module(files: Path) -> None:
    """It is no failure that it is missing, unless it is asked for; then it is none that gutless is."""
    load(files)
    fake = Fake()
    must(fake, "tunnel add west --remote 198.51.100.7 --module fou --any-source")
    found = [finding for finding in find(files, fake) if "module fou" in finding.text]
    assert [finding.level for finding in found] == [Level.OK]
    assert "formats gue fou, csum full zero remote, over IPv4 and IPv6" in found[0].text
    (open_port,) = [finding for finding in find(files, fake) if "everybody inject" in finding.text]
    assert open_port.command is not None and "one --sport at each end" in open_port.command
    fake.fou6 = False
    (found6,) = [finding for finding in find(files, fake) if "module fou" in finding.text]
    assert found6.command == "modprobe fou6" and "not IPv6" in found6.text
    fake.fou = False
    assert [f.level for f in find(files, Fake()) if "module fou" in f.text] == [Level.OK]
    wanted = list(examine(fake.world().using(Module.FOU), Machine(files, RELEASE)))
    assert status(wanted) is ExitStatus.UNSUPPORTED
    (files / "sys/module/gutless/version").unlink()
    (files / "sys/module/gutless").rmdir()
    fake.fou = fake.fou6 = True
    assert status(examine(fake.world().using(Module.FOU), Machine(files, RELEASE))) is ExitStatus.OK


def test_the_table_of_kinds_of_newer_kernels(files: Path) -> None:
    """It is spoken of where its filling up is near, and a warning where the kernel has said that it is full."""
    load(files)
    (files / "proc").mkdir()
    (files / "dev").mkdir()
    symbols, log = files / "proc/kallsyms", files / "dev/kmsg"
    symbols.write_text(f"0000000000000000 T {TABLE}\n0000000000000000 t udp_tunnel_gro_rcv\n")
    log.write_text("6,1,0,-;gutless: loaded\n")

    def about_it() -> list[Finding]:
        return [finding for finding in find(files) if TABLE_FULL in finding.text]

    for module in FELLOWS:
        assert about_it() == []
        (files / "sys/module" / module).mkdir()
    assert [finding.level for finding in about_it()] == [Level.OK]
    log.write_text(f"6,1,0,-;gutless: loaded\n3,2,5,-;UDP: {TABLE_FULL}, please increase UDP_MAX_TUNNEL_TYPES\n")
    (full,) = about_it()
    assert full.level is Level.WARN and "nothing is lost" in full.text
    # a kernel without that table, whatever is loaded
    symbols.write_text(f"0000000000000000 t {TABLE}x\n0000000000000000 T x{TABLE}\n")
    assert about_it() == []
    log.unlink()
    symbols.unlink()
    assert about_it() == []


def test_a_log_that_may_not_be_read_says_nothing(tmp_path: Path) -> None:
    assert not Machine(tmp_path, RELEASE).said("anything")
    (tmp_path / "dev/kmsg").mkdir(parents=True)
    assert not Machine(tmp_path, RELEASE).said("anything")

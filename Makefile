# SPDX-License-Identifier: Apache-2.0
# `make` alone lists what can be made. T= names tests (T=tests/kernel/test_x.py::test_y), ARGS= goes to pytest,
# VMARGS= to tests/vm/boot, KERNEL= a folder with another kernel.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
.PHONY: help setup module test test-all test-pure test-kernel test-kernels lint demo mutants fuzz test-debug vagrant-test bench bench-check clean

T ?=
ARGS ?=
VMARGS ?=
export T ARGS VMARGS KERNEL NATIVE

help: ## this list
	sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## install what is needed (apt, as root or through sudo) and fill the cache
	tests/vm/setup

module: ## build kmod/gutless.ko for the distribution's kernel
	tests/ring module

test: ## everything that must pass: lint, pure ring, kernel ring
	tests/ring all

test-all: ## every ring there is: the three, debug kernel, fuzzers, other kernels, benchmark, machines, mutants (hours)
	tests/ring everything

test-pure: ## the pure ring, on this machine
	tests/ring pure

test-kernel: ## the kernel ring, in a virtual machine
	tests/ring kernel

test-kernels: ## the kernel ring on Debian's other kernels (KERNEL=bookworm-backports picks; tests/vm/kernels list)
	tests/vm/kernels all

lint: ## ruff, mypy, and the module built with W=1 C=2
	tests/ring lint

demo: ## two hosts, a NAT router and two tunnels, in a virtual machine (NATIVE=1: on this kernel)
	demo/run

mutants: ## put known bugs back one by one; every one must be caught by a test
	tests/mutants/run

fuzz: ## fuzzers of the formats, of receiving ports and of netlink (SECONDS= each of those on this machine)
	tests/fuzz/run $(if $(SECONDS),--seconds $(SECONDS))

test-debug: ## the kernel ring in a kernel that looks for errors (KASAN, lockdep ...), and tests of its own
	tests/uml/run

vagrant-test: ## two virtual machines and a wire, by Vagrant and libvirt, gutctl on both
	tests/machines/run

bench: ## instructions per packet beside other tunnels: docs/benchmarks.md
	tests/bench/run

bench-check: ## no row dearer than it was, and the bars that were set
	tests/bench/run --check

clean: ## remove what was built in the tree (the cache, ~/.cache/gutctl, stays)
	[ ! -f kmod/Makefile ] || $(MAKE) -s -C kmod clean
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

# SPDX-License-Identifier: Apache-2.0
"""``python -m gutctl``: the command line, where the script is not installed."""

from gutctl.cli import main

if __name__ == "__main__":
    main()

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# flood.sh with a million forged datagrams.

export FLOOD_COUNT=1000000
exec "$(dirname "$0")/flood.sh"

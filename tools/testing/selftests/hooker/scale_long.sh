#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# scale.sh with ten thousand connections at once, and a thousand in a second for a minute.

export CONNS=10000 OPEN_RATE=1000 RATE=1000 SECONDS_LONG=60
exec "$(dirname "$0")/scale.sh"

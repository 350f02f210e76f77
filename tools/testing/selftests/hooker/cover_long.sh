#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# cover.sh with ten thousand damaged packets for each kind of connection, carrier and family.

export COVER_COUNT=${COVER_COUNT:-10000}
exec "$(dirname "$0")/cover.sh"

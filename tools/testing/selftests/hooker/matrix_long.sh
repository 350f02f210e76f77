#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# matrix.sh with everything, as its ALL=1 says.

export ALL=1 PARTS=${PARTS:-14}
exec "$(dirname "$0")/matrix.sh"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# htp_share with more seeds.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PROGRAM=$(find_program htp_share) || skip_all "htp_share is not built [variant]"
export HTP_SEEDS=${HTP_SEEDS:-4}
exec "$PROGRAM"

// SPDX-License-Identifier: GPL-2.0
/*
 * The congestion controllers there are, by name.
 */
#include <string.h>

#include "cc.h"

/**
 * htp_cc_by_name() - find a congestion controller
 * @name: as in struct htp_cc_ops
 *
 * Return: its operations; NULL: there is none of that name.
 */
const struct htp_cc_ops *htp_cc_by_name(const char *name)
{
	static const struct htp_cc_ops * const all[] = { &htp_cc_bbr, &htp_cc_cubic };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}

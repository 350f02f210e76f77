// SPDX-License-Identifier: GPL-2.0
/*
 * Address prefixes as --to takes them: 192.0.2.0/24, 192.0.2.0/24:443,
 * 2001:db8::/32, [2001:db8::]/32:443. Without a length: that one host. No names
 * of hosts: what they resolve to may change under a running daemon.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../tcp/addr.h"
#include "relay.h"

/* The parts of a prefix's text; len and port are empty when not given */
struct parts {
	char	addr[INET6_ADDRSTRLEN + 1];
	char	len[8], port[8];
	bool	bracketed;
};

static bool copy_part(char *to, size_t cap, const char *from, size_t len)
{
	if (!len || len >= cap)
		return false;
	memcpy(to, from, len);
	to[len] = '\0';
	return true;
}

static bool split_suffix(const char *text, struct parts *parts)
{
	size_t len;

	if (*text == '/') {
		len = strcspn(++text, ":");
		if (!copy_part(parts->len, sizeof(parts->len), text, len))
			return false;
		text += len;
	}
	if (*text == ':') {
		text++;
		return copy_part(parts->port, sizeof(parts->port), text, strlen(text));
	}
	return !*text;
}

static bool split(const char *text, struct parts *parts)
{
	size_t len;

	memset(parts, 0, sizeof(*parts));
	parts->bracketed = *text == '[';
	if (parts->bracketed)
		len = strcspn(++text, "]");
	else if (strchr(text, ':') && strchr(strchr(text, ':') + 1, ':'))
		len = strcspn(text, "/");	/* two colons: an IPv6 address */
	else
		len = strcspn(text, "/:");
	if (!copy_part(parts->addr, sizeof(parts->addr), text, len))
		return false;
	text += len;
	if (parts->bracketed && *text++ != ']')
		return false;
	return split_suffix(text, parts);
}

static bool host_bits_set(const __be32 addr[4], unsigned int len)
{
	const unsigned char *byte = (const unsigned char *)addr;
	unsigned int i;

	for (i = len; i < 128; i++) {
		if (byte[i / 8] & 0x80 >> i % 8)
			return true;
	}
	return false;
}

/* Returns the bits that stand before the address's own, or -1 if it is no address */
static int parse_addr(const struct parts *parts, __be32 addr[4])
{
	if (strchr(parts->addr, ':'))
		return inet_pton(AF_INET6, parts->addr, addr) == 1 ? 0 : -1;
	if (parts->bracketed)
		return -1;
	addr[0] = 0;
	addr[1] = 0;
	addr[2] = htonl(0xffff);
	return inet_pton(AF_INET, parts->addr, &addr[3]) == 1 ? 96 : -1;
}

/**
 * hk_number_parse() - read a decimal number
 * @text:  digits and nothing else
 * @min:   smallest one allowed
 * @max:   largest one allowed
 * @value: filled
 *
 * Return: 0, or -EINVAL.
 */
int hk_number_parse(const char *text, unsigned long min, unsigned long max, unsigned long *value)
{
	/* strtoul() would take blanks, signs and, for more than it can hold, ULONG_MAX */
	if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 10)
		return -EINVAL;
	*value = strtoul(text, NULL, 10);
	return *value < min || *value > max ? -EINVAL : 0;
}

/**
 * hk_prefix_parse() - read an address prefix, perhaps with a port
 * @text:   as a user writes it
 * @prefix: filled
 *
 * Return: NULL, or what is wrong, for the end of a message.
 */
const char *hk_prefix_parse(const char *text, struct hk_prefix *prefix)
{
	unsigned long len, port = 0;
	struct parts parts;
	int above;

	if (!split(text, &parts))
		return "not ADDRESS[/LENGTH][:PORT] or [ADDRESS]/LENGTH:PORT";
	memset(prefix, 0, sizeof(*prefix));
	above = parse_addr(&parts, prefix->addr);
	if (above < 0)
		return "not an IPv4 or IPv6 address";
	/* Unbracketed, the last group of the address could be the port just as well */
	if (!above && *parts.port && !parts.bracketed)
		return "with a port, write IPv6 as [ADDRESS]/LENGTH:PORT";
	len = 128 - above;
	if (*parts.len && hk_number_parse(parts.len, 0, len, &len))
		return above ? "length is not 0 to 32" : "length is not 0 to 128";
	if (*parts.port && hk_number_parse(parts.port, 1, 65535, &port))
		return "port is not 1 to 65535";
	prefix->len = above + len;
	prefix->port = htons(port);
	if (host_bits_set(prefix->addr, prefix->len))
		return "bits behind the prefix length are set";
	return NULL;
}

/**
 * hk_prefix_format() - write a prefix as hk_prefix_parse() reads it, without port
 * @prefix: the prefix
 * @text:   filled
 *
 * Return: @text.
 */
const char *hk_prefix_format(const struct hk_prefix *prefix, char text[HK_PREFIX_TEXT])
{
	bool v4 = prefix->len >= 96 && hk_addr_is_mapped(prefix->addr);
	char addr[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &prefix->addr[3] : prefix->addr, addr,
		  sizeof(addr));
	snprintf(text, HK_PREFIX_TEXT, "%s/%u", addr, prefix->len - (v4 ? 96 : 0));
	return text;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * One packet, as the gate hands it over: taken apart, given its checksums, and what
 * was found in it written as a segment again, which must read the same.
 */
#include "fuzz.h"

#include "tcp/inject.h"
#include "tcp/packet.h"

#define MAX_PACKET	4096

static void check_located(const struct hk_packet *pkt, size_t size)
{
	FUZZ_CHECK(pkt->len <= size);
	FUZZ_CHECK(pkt->tcp < pkt->len);
	FUZZ_CHECK(pkt->tcp_hdr_len >= HK_TCP_HDR_LEN);
	FUZZ_CHECK(pkt->tcp_hdr_len <= pkt->len - pkt->tcp);
}

static void check_parsed(const struct hk_parsed *parsed, const __u8 *data, size_t size)
{
	const __u8 *option = (const __u8 *)parsed->option;

	FUZZ_CHECK(parsed->payload < size);
	FUZZ_CHECK(parsed->mss);
	FUZZ_CHECK(parsed->wscale >= -1 && parsed->wscale <= 14);
	if (option)
		FUZZ_CHECK(option > data && option + sizeof(*parsed->option) <= data + size);
}

/* A sum over all of it, checksum included, gives all ones; ours are right already */
static void check_checksums(const __u8 *data, size_t size)
{
	__u8 once[MAX_PACKET], twice[MAX_PACKET];

	memcpy(once, data, size);
	FUZZ_CHECK(!hk_packet_fill_checksums(once, size));
	memcpy(twice, once, size);
	FUZZ_CHECK(!hk_packet_fill_checksums(twice, size));
	FUZZ_CHECK(!memcmp(once, twice, size));
}

static void check_rebuilt(const struct hk_parsed *parsed)
{
	struct hk_segment seg = {
		.key = parsed->key, .seq = parsed->seq, .ack = parsed->ack,
		.flags = parsed->flags | HK_TCP_SYN, .window = parsed->window,
		.mss = parsed->mss, .wscale = parsed->wscale < 0 ? 0 : parsed->wscale,
		.scaled = parsed->wscale >= 0, .sack = parsed->sack,
		.timestamps = parsed->timestamps, .tsval = parsed->tsval,
		.tsecr = parsed->tsecr, .option = parsed->option,
	};
	struct hk_parsed again;
	__u8 packet[HK_SEGMENT_MAX];
	ssize_t len = hk_segment_build(packet, sizeof(packet), &seg);

	if (len == -EINVAL)	/* IPv6 that is said to come from an IPv4 address */
		return;
	FUZZ_CHECK(len > 0);
	FUZZ_CHECK(!hk_segment_parse(packet, len, &again));
	FUZZ_CHECK(!memcmp(&again.key, &parsed->key, sizeof(again.key)));
	FUZZ_CHECK(again.seq == parsed->seq && again.ack == parsed->ack);
	FUZZ_CHECK(again.mss == parsed->mss && again.wscale == parsed->wscale);
	FUZZ_CHECK(again.sack == parsed->sack && again.timestamps == parsed->timestamps);
	FUZZ_CHECK(again.tsval == parsed->tsval && again.tsecr == parsed->tsecr);
	FUZZ_CHECK(!again.option == !parsed->option);
	if (again.option)
		FUZZ_CHECK(!memcmp(again.option, parsed->option, sizeof(*again.option)));
}

int fuzz_segment(const __u8 *data, size_t size)
{
	struct hk_parsed parsed;
	struct hk_packet pkt;
	int err;

	if (size > MAX_PACKET)
		return 0;
	err = hk_packet_locate(data, size, &pkt);
	FUZZ_CHECK(hk_segment_parse(data, size, &parsed) == err);
	if (err) {
		FUZZ_CHECK(err == -EINVAL || err == -EPROTONOSUPPORT || err == -EOPNOTSUPP);
		return 0;
	}
	check_located(&pkt, size);
	check_parsed(&parsed, data, size);
	check_checksums(data, size);
	check_rebuilt(&parsed);
	return 0;
}

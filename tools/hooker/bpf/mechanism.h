/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Mechanisms: protocols put into a running kernel as one BPF object. What is
 * here is the contract between such an object and hooker; types come from the
 * includer, as in hooker_abi.h. Documentation/tools/hooker/mechanisms.rst tells
 * the story, mechanisms/exp253.bpf.c is the example to copy.
 *
 * On its host a mechanism looks like UDP: applications and the daemon have UDP
 * sockets. Its egress program turns their datagrams into the protocol's, its
 * ingress program turns what arrives into UDP. An object has
 *
 *	hk_mechanism		struct hk_mechanism, a constant
 *	hk_mech_ports		hash, struct hk_mech_key -> struct hk_mech_port
 *	hk_mech_stats		per-CPU array of HK_MECH_COUNTERS counters
 *	hk_mech_ingress		SEC("xdp"), tail-called by hooker_ingress
 *	hk_mech_egress		SEC("tc"), on tcx or clsact egress
 */
#ifndef HOOKER_MECHANISM_H
#define HOOKER_MECHANISM_H

#define HK_MECH_ABI		1
#define HK_MECH_NAME		16	/* bytes of a name, NUL included */
#define HK_MECH_COUNTERS	16
#define HK_MECH_COUNTER_NAME	24	/* bytes, NUL included */
#define HK_MECH_MAX_PORTS	1024
#define HK_MECH_MAX_FIELD	64	/* largest hk_mech_port.field */
#define HK_MECH_NO_CHECK	255	/* hk_mechanism.check_off: no checksum */

/**
 * struct hk_mechanism - what an object says about itself
 * @abi:       HK_MECH_ABI
 * @version:   of the mechanism, shown by `hooker proto list`
 * @name:      as a carrier's name: lower-case letters, digits, '-'; NUL-terminated
 * @ip_proto:  IP protocol number; neither TCP's, UDP's nor ICMP's
 * @offer_bit: which HK_PROTO_* bit stands for it in offers: 0 for UDP-Lite, else 2 to 7.
 *	       Both hosts must mean the same by it; HELLO finds out
 * @hdr_len:   bytes of its header; its first four are source and destination port
 * @check_off: where in it an Internet checksum (RFC 1071) is; HK_MECH_NO_CHECK
 * @counters:  names of its counters; the first empty one ends them
 */
struct hk_mechanism {
	__u32	abi;
	__u32	version;
	char	name[HK_MECH_NAME];
	__u8	ip_proto;
	__u8	offer_bit;
	__u8	hdr_len;
	__u8	check_off;
	char	counters[HK_MECH_COUNTERS][HK_MECH_COUNTER_NAME];
};
_Static_assert(sizeof(struct hk_mechanism) == 412, "hk_mechanism is ABI");

/* struct hk_mech_key.side: which port of a datagram is looked at */
enum hk_mech_side {
	HK_MECH_IN_DEST		= 0,	/* arriving: its destination port */
	HK_MECH_IN_SOURCE	= 1,	/* arriving: its source port */
	HK_MECH_OUT_SOURCE	= 2,	/* leaving: its source port */
	HK_MECH_OUT_DEST	= 3,	/* leaving: its destination port */
};

/**
 * struct hk_mech_key - key of hk_mech_ports
 * @port: network byte order
 * @side: enum hk_mech_side
 */
struct hk_mech_key {
	__be16	port;
	__u16	side;
};
_Static_assert(sizeof(struct hk_mech_key) == 4, "hk_mech_key is ABI");

/* struct hk_mech_port.cover: how much of a datagram a checksum is to cover */
enum hk_mech_cover {
	HK_MECH_COVER_FULL	= 0,
	HK_MECH_COVER_FIXED	= 1,	/* @base bytes, header included */
	HK_MECH_COVER_FIELD	= 2,	/* @base, plus 16 bits in the payload at @field */
};

/**
 * struct hk_mech_port - value of hk_mech_ports: this port is the mechanism's
 * @port:  replaces the port that was looked at, network byte order
 * @cover: enum hk_mech_cover; for leaving datagrams of protocols that know coverage
 * @base:  host byte order; below hdr_len it means hdr_len
 * @field: offset in the payload of a big-endian number, HK_MECH_MAX_FIELD at most
 */
struct hk_mech_port {
	__be16	port;
	__u16	cover;
	__u16	base;
	__u16	field;
};
_Static_assert(sizeof(struct hk_mech_port) == 8, "hk_mech_port is ABI");

#define HK_MECH_MAX_LOCALS	8	/* sockets of the daemon behind mechanisms */

/**
 * struct hk_mech_info - value of hk_mech_infos, by IP protocol: a deployed mechanism
 * @hdr_len:   of its descriptor; 0: none is deployed
 * @check_off: likewise
 * @carrier:   it takes our datagrams; else it is there for other applications only
 * @pad:       zero
 */
struct hk_mech_info {
	__u8	hdr_len;
	__u8	check_off;
	__u8	carrier;
	__u8	pad;
};
_Static_assert(sizeof(struct hk_mech_info) == 4, "hk_mech_info is ABI");

#endif /* HOOKER_MECHANISM_H */

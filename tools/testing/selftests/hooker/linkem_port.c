// SPDX-License-Identifier: GPL-2.0
/*
 * linkem: one Ethernet interface, taken over with a packet socket.
 *
 * TPACKET_V2 and not V3: V3 hands out blocks, and a block that is not full waits
 * for a timer of milliseconds. A V2 slot is readable at once and needs no system call.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "linkem.h"

#define NR_SLOTS	4096
#define BLOCK_SIZE	(1U << 17)
#define TX_BATCH	64

/* A reading of the wall clock older than this is no delay of ours but a step of the clock. */
#define MAX_STAMP_AGE_NS	(200 * LK_NSEC_PER_MSEC)

static __u64 clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * LK_NSEC_PER_SEC + ts.tv_nsec;
}

__u64 lk_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static int read_mtu(struct lk_port *port)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, port->name, sizeof(ifr.ifr_name));
	if (ioctl(port->fd, SIOCGIFMTU, &ifr))
		return -errno;
	port->mtu = ifr.ifr_mtu;
	return 0;
}

/* Slots are a power of two in size, so that they fill the blocks without a gap. */
static int map_ring(struct lk_port *port)
{
	struct tpacket_req req = { .tp_block_size = BLOCK_SIZE, .tp_frame_nr = NR_SLOTS };
	int version = TPACKET_V2;

	if (setsockopt(port->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)))
		return -errno;
	req.tp_frame_size = 2048;
	while (req.tp_frame_size < TPACKET2_HDRLEN + 64 + ETH_HLEN + LK_VLAN_HLEN + port->mtu)
		req.tp_frame_size *= 2;
	if (req.tp_frame_size > BLOCK_SIZE)
		return -EMSGSIZE;
	req.tp_block_nr = NR_SLOTS / (BLOCK_SIZE / req.tp_frame_size);
	if (setsockopt(port->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
		return -errno;
	port->slot_size = req.tp_frame_size;
	port->nr_slots = NR_SLOTS;
	port->ring_len = (size_t)req.tp_block_size * req.tp_block_nr;
	port->ring = mmap(NULL, port->ring_len, PROT_READ | PROT_WRITE, MAP_SHARED, port->fd, 0);
	if (port->ring == MAP_FAILED) {
		port->ring = NULL;
		return -errno;
	}
	return 0;
}

static int set_options(struct lk_port *port, int ifindex)
{
	struct packet_mreq promisc = { .mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC };
	int one = 1;

	if (setsockopt(port->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)))
		return -errno;
	if (setsockopt(port->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		return -errno;
	if (setsockopt(port->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)))
		return -errno;
	return 0;
}

/**
 * lk_port_open() - take over an interface
 * @port: filled; lk_port_close() is due also after an error
 * @name: an Ethernet interface of this network namespace
 * Return: 0, -ENODEV for no such interface, -EPERM without CAP_NET_RAW, -EMSGSIZE for
 * an MTU beyond what the ring can hold, or what the kernel said.
 */
int lk_port_open(struct lk_port *port, const char *name)
{
	struct sockaddr_ll sll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int err;

	memset(port, 0, sizeof(*port));
	port->xdp_fd = -1;
	snprintf(port->name, sizeof(port->name), "%s", name);
	/* Protocol 0: nothing may arrive before the ring and the options are in place. */
	port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->fd < 0)
		return -errno;
	sll.sll_ifindex = if_nametoindex(name);
	if (!sll.sll_ifindex)
		return -errno;
	err = read_mtu(port);
	if (!err)
		err = map_ring(port);
	if (!err)
		err = set_options(port, sll.sll_ifindex);
	if (!err && bind(port->fd, (struct sockaddr *)&sll, sizeof(sll)))
		err = -errno;
	return err;
}

void lk_port_close(struct lk_port *port)
{
	if (port->ring)
		munmap(port->ring, port->ring_len);
	port->ring = NULL;
	if (port->fd >= 0)
		close(port->fd);
	port->fd = -1;
	if (port->xdp_fd >= 0)
		close(port->xdp_fd);
	port->xdp_fd = -1;
}

static struct tpacket2_hdr *next_slot(const struct lk_port *port)
{
	return (struct tpacket2_hdr *)(port->ring + (size_t)port->next_slot * port->slot_size);
}

/**
 * lk_port_has_frames() - look into the ring
 * @port: open port
 * Return: whether a frame waits.
 */
bool lk_port_has_frames(const struct lk_port *port)
{
	return __atomic_load_n(&next_slot(port)->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

/* veth hands a VLAN tag over beside the frame; the far side needs it in the frame. */
static struct lk_packet *copy_frame(const struct tpacket2_hdr *hdr)
{
	const __u8 *frame = (const __u8 *)hdr + hdr->tp_mac;
	bool tagged = hdr->tp_status & TP_STATUS_VLAN_VALID;
	size_t tag_len = tagged ? LK_VLAN_HLEN : 0;
	struct lk_packet *pkt;
	__be16 tag[2];

	pkt = malloc(sizeof(*pkt) + hdr->tp_snaplen + tag_len);
	if (!pkt)
		return NULL;
	pkt->len = hdr->tp_snaplen + tag_len;
	memcpy(pkt->data, frame, 2 * ETH_ALEN);
	memcpy(pkt->data + 2 * ETH_ALEN + tag_len, frame + 2 * ETH_ALEN,
	       hdr->tp_snaplen - 2 * ETH_ALEN);
	if (tagged) {
		tag[0] = htons(hdr->tp_status & TP_STATUS_VLAN_TPID_VALID ? hdr->tp_vlan_tpid :
									    ETH_P_8021Q);
		tag[1] = htons(hdr->tp_vlan_tci);
		memcpy(pkt->data + 2 * ETH_ALEN, tag, sizeof(tag));
	}
	return pkt;
}

static bool is_frame_usable(struct lk_port *port, struct lk_pipe *pipe,
			    const struct tpacket2_hdr *hdr)
{
	if (hdr->tp_status & TP_STATUS_CSUMNOTREADY) {
		pipe->link.csum_unset++;
		if (!port->warned_csum)
			fprintf(stderr, "linkem: %s: frame without its checksum; %s\n",
				port->name, "the host behind needs 'ethtool -K IF tx off'");
		port->warned_csum = true;
	}
	if (hdr->tp_len > port->mtu + ETH_HLEN + LK_VLAN_HLEN || hdr->tp_snaplen < hdr->tp_len) {
		pipe->link.oversize++;
		if (!port->warned_oversize)
			fprintf(stderr, "linkem: %s: dropped a frame of %u bytes, MTU is %u; %s\n",
				port->name, hdr->tp_len, port->mtu,
				"the host behind needs tso and gso off, this end gro off");
		port->warned_oversize = true;
		return false;
	}
	return hdr->tp_snaplen >= ETH_HLEN;
}

static __u64 arrival_ns(const struct tpacket2_hdr *hdr, __u64 real_ns, __u64 now_ns)
{
	__u64 stamp_ns = hdr->tp_sec * LK_NSEC_PER_SEC + hdr->tp_nsec;

	if (stamp_ns > real_ns || real_ns - stamp_ns > MAX_STAMP_AGE_NS)
		return now_ns;
	return now_ns - (real_ns - stamp_ns);
}

/**
 * lk_port_receive() - move arrived frames into a pipe
 * @port:   where they arrived
 * @pipe:   direction that starts at @port
 * @budget: at most so many
 *
 * The kernel stamps frames with the wall clock; it is read once per call to
 * translate the stamps.
 *
 * Return: number of frames taken from the ring.
 */
unsigned int lk_port_receive(struct lk_port *port, struct lk_pipe *pipe, unsigned int budget)
{
	__u64 now_ns, real_ns;
	struct tpacket2_hdr *hdr;
	struct lk_packet *pkt;
	unsigned int nr;

	if (!lk_port_has_frames(port))
		return 0;
	now_ns = lk_now_ns();
	real_ns = clock_ns(CLOCK_REALTIME);
	for (nr = 0; nr < budget && lk_port_has_frames(port); nr++) {
		hdr = next_slot(port);
		if (is_frame_usable(port, pipe, hdr)) {
			pkt = copy_frame(hdr);
			if (pkt)
				lk_pipe_push(pipe, pkt, arrival_ns(hdr, real_ns, now_ns));
			else
				pipe->link.dropped_memory++;
		}
		__atomic_store_n(&hdr->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		port->next_slot = (port->next_slot + 1) % port->nr_slots;
	}
	return nr;
}

static void count_late(struct lk_link_counters *link, __u64 late_ns)
{
	if (late_ns > link->late_max_ns)
		link->late_max_ns = late_ns;
	if (late_ns > LK_NSEC_PER_MSEC)
		link->late_over_1ms++;
}

static unsigned int take_due(struct lk_pipe *pipe, __u64 now_ns, struct lk_packet **pkts,
			     unsigned int max)
{
	unsigned int nr;

	for (nr = 0; nr < max && lk_pipe_due(pipe) <= now_ns; nr++) {
		pkts[nr] = lk_pipe_pop(pipe);
		count_late(&pipe->link, now_ns - pkts[nr]->due_ns);
	}
	return nr;
}

/* A frame that the interface refuses (it may be down) is lost, as on any line. */
static void send_all(struct lk_port *port, struct lk_link_counters *link, struct mmsghdr *msgs,
		     unsigned int nr)
{
	unsigned int done = 0;
	int sent;

	while (done < nr) {
		sent = sendmmsg(port->fd, msgs + done, nr - done, 0);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0) {
			link->tx_errors++;
			done++;
			continue;
		}
		link->delivered_packets += sent;
		while (sent--)
			link->delivered_bytes += msgs[done++].msg_hdr.msg_iov->iov_len;
	}
}

/**
 * lk_port_transmit() - send what is due
 * @port:   where @pipe ends
 * @pipe:   direction
 * @now_ns: packets due until then are sent
 * @budget: at most so many
 * Return: number of packets taken from @pipe.
 */
unsigned int lk_port_transmit(struct lk_port *port, struct lk_pipe *pipe, __u64 now_ns,
			      unsigned int budget)
{
	struct mmsghdr msgs[TX_BATCH] = { 0 };
	struct lk_packet *pkts[TX_BATCH];
	struct iovec iov[TX_BATCH];
	unsigned int nr, i;

	nr = take_due(pipe, now_ns, pkts, budget < TX_BATCH ? budget : TX_BATCH);
	for (i = 0; i < nr; i++) {
		iov[i].iov_base = pkts[i]->data;
		iov[i].iov_len = pkts[i]->len;
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	send_all(port, &pipe->link, msgs, nr);
	for (i = 0; i < nr; i++)
		free(pkts[i]);
	return nr;
}

/**
 * lk_port_clear_error() - acknowledge that the interface went down
 * @port: open port
 *
 * Else poll() reports the error for ever. The socket goes on when the interface is up again.
 */
void lk_port_clear_error(struct lk_port *port)
{
	socklen_t len = sizeof(int);
	int err;

	if (!getsockopt(port->fd, SOL_SOCKET, SO_ERROR, &err, &len) && err)
		fprintf(stderr, "linkem: %s: %s\n", port->name, strerror(err));
}

/**
 * lk_port_read_drops() - add the ring's overflows to the pipe's counters
 * @port: where the overflowing frames arrived
 * @pipe: direction that starts at @port
 *
 * The kernel resets its count with each reading.
 */
void lk_port_read_drops(struct lk_port *port, struct lk_pipe *pipe)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	if (!getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		pipe->link.dropped_ring += stats.tp_drops;
}

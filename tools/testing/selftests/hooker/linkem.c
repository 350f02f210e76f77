// SPDX-License-Identifier: GPL-2.0
/*
 * linkem: a link emulator in user space.
 *
 *   linkem [OPTIONS] IFA IFB [SETTING...]
 *   linkem ctl SOCKET COMMAND...
 *
 * Bridges two Ethernet interfaces, in practice the router's ends of two veths, and
 * does to the frames what a slow, long or bad line would do. It needs neither
 * sch_netem nor a configured kernel, so that results compare between machines.
 * The loop never varies: take what arrived, send what is due, sleep until the next.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "linkem.h"

/* Frames per direction and pass: bounds how long one direction keeps the other waiting. */
#define BUDGET		128

/*
 * Sleep while frames flow, so that each wakeup moves several. The shortest is what a
 * frame may leave too late on a fast link. The longest bounds how long an arrival
 * stays unseen; it must leave time enough before the arrival itself is due.
 */
#define MIN_NAP_NS	(50 * LK_NSEC_PER_USEC)
#define MAX_NAP_NS	(250 * LK_NSEC_PER_USEC)
#define CLIENT_LIMIT_NS	LK_NSEC_PER_SEC

enum { POLL_A, POLL_B, POLL_CTL, POLL_SIGNAL, NR_POLL };

/*
 * struct loop - the program's state
 * @listen_fd:  control socket, -1 without
 * @client_fd:  the one connection being served, -1 if none
 * @client_ns:  when it is dropped if it has asked nothing
 */
struct loop {
	struct lk_emulator	em;
	const char		*ctl_path;
	int			listen_fd, client_fd, signal_fd;
	__u64			client_ns;
};

struct options {
	const char	*ctl_path;
	__u64		seed;
	bool		no_rt, with_xdp;
};

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: linkem [-s SOCKET] [-S SEED] [-nx] IFA IFB [SETTING...]\n"
		"       linkem ctl SOCKET COMMAND...\n"
		"Bridges IFA and IFB; direction ab is from IFA to IFB. Prints 'linkem: ready'.\n"
		"  -s SOCKET  control socket to create\n"
		"  -S SEED    of the random numbers, 1 if not given\n"
		"  -n         no real-time priority\n"
		"  -x         an empty XDP program on both: veth needs it for XDP_TX at the far ends\n");
	lk_ctl_help(out);
}

static void close_client(struct loop *loop)
{
	close(loop->client_fd);
	loop->client_fd = -1;
}

static void handle_ctl(struct loop *loop, __u64 now_ns)
{
	if (loop->client_fd < 0) {
		loop->client_fd = accept4(loop->listen_fd, NULL, NULL,
					  SOCK_CLOEXEC | SOCK_NONBLOCK);
		loop->client_ns = now_ns + CLIENT_LIMIT_NS;
		return;
	}
	lk_ctl_serve(&loop->em, loop->client_fd);
	close_client(loop);
}

/* Returns the number of frames handled. */
static unsigned int move_frames(struct lk_emulator *em, __u64 *now_ns)
{
	unsigned int nr = 0;
	int dir;

	for (dir = 0; dir < LK_NR_DIRS; dir++)
		nr += lk_port_receive(&em->port[dir], &em->pipe[dir], BUDGET);
	for (dir = 0; dir < LK_NR_DIRS; dir++) {
		*now_ns = lk_now_ns();
		nr += lk_port_transmit(&em->port[!dir], &em->pipe[dir], *now_ns, BUDGET);
	}
	return nr;
}

static bool has_arrivals(const struct lk_emulator *em)
{
	return lk_port_has_frames(&em->port[0]) || lk_port_has_frames(&em->port[1]);
}

static __u64 next_deadline(const struct loop *loop)
{
	__u64 deadline = loop->client_fd < 0 ? LK_NEVER : loop->client_ns;
	int dir;

	for (dir = 0; dir < LK_NR_DIRS; dir++)
		if (lk_pipe_due(&loop->em.pipe[dir]) < deadline)
			deadline = lk_pipe_due(&loop->em.pipe[dir]);
	return deadline;
}

static int wait_for_events(const struct loop *loop, struct pollfd *fds, __u64 now_ns)
{
	__u64 deadline = next_deadline(loop), sleep_ns;
	struct timespec ts;
	int fd = loop->client_fd < 0 ? loop->listen_fd : loop->client_fd;

	fds[POLL_CTL] = (struct pollfd){ .fd = fd, .events = POLLIN };
	if (deadline == LK_NEVER)
		return ppoll(fds, NR_POLL, NULL, NULL);
	sleep_ns = deadline > now_ns ? deadline - now_ns : 0;
	ts.tv_sec = sleep_ns / LK_NSEC_PER_SEC;
	ts.tv_nsec = sleep_ns % LK_NSEC_PER_SEC;
	return ppoll(fds, NR_POLL, &ts, NULL);
}

static __u64 nap_ns(const struct loop *loop, __u64 deadline, __u64 now_ns)
{
	__u64 ns = deadline > now_ns ? deadline - now_ns : 0;
	int dir;

	if (ns > MAX_NAP_NS)
		ns = MAX_NAP_NS;
	for (dir = 0; dir < LK_NR_DIRS; dir++)
		if (ns > loop->em.pipe[dir].cfg.delay_ns / 2)
			ns = loop->em.pipe[dir].cfg.delay_ns / 2;
	return ns > MIN_NAP_NS ? ns : MIN_NAP_NS;
}

/*
 * While frames flow the loop naps instead of waiting in ppoll(), which every arriving
 * frame would end. Arrival times come from the kernel, so only what falls due within
 * the nap is late. Not with an empty pipe: then nothing but arrivals matters.
 */
static bool nap_if_busy(const struct loop *loop, unsigned int nr_moved, __u64 now_ns)
{
	__u64 deadline = next_deadline(loop);
	struct timespec ts = { 0 };

	if (!nr_moved || deadline == LK_NEVER)
		return false;
	ts.tv_nsec = nap_ns(loop, deadline, now_ns);
	nanosleep(&ts, NULL);
	return true;
}

static void clear_errors(struct loop *loop, const struct pollfd *fds)
{
	if (fds[POLL_A].revents & POLLERR)
		lk_port_clear_error(&loop->em.port[0]);
	if (fds[POLL_B].revents & POLLERR)
		lk_port_clear_error(&loop->em.port[1]);
}

static int run(struct loop *loop)
{
	struct pollfd fds[NR_POLL] = {
		[POLL_A] = { .fd = loop->em.port[0].fd, .events = POLLIN },
		[POLL_B] = { .fd = loop->em.port[1].fd, .events = POLLIN },
		[POLL_SIGNAL] = { .fd = loop->signal_fd, .events = POLLIN },
	};
	unsigned int nr_moved, pass = 0;
	__u64 now_ns;

	for (;;) {
		nr_moved = move_frames(&loop->em, &now_ns);
		/* Under steady load, too, a look at signals and requests now and then. */
		if (++pass % 64 &&
		    (has_arrivals(&loop->em) || nap_if_busy(loop, nr_moved, now_ns)))
			continue;
		if (wait_for_events(loop, fds, now_ns) < 0 && errno != EINTR)
			return -errno;
		if (fds[POLL_SIGNAL].revents)
			return 0;
		now_ns = lk_now_ns();
		clear_errors(loop, fds);
		if (fds[POLL_CTL].revents)
			handle_ctl(loop, now_ns);
		else if (loop->client_fd >= 0 && now_ns > loop->client_ns)
			close_client(loop);
	}
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * Hosts under test share the machine's cores, and a link does not slow down because
 * they are busy. Containers may refuse real-time scheduling; a low nice value is next best.
 */
static void raise_priority(void)
{
	struct sched_param param = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &param))
		setpriority(PRIO_PROCESS, 0, -15);
	prctl(PR_SET_TIMERSLACK, 1UL);
}

static int open_port(struct lk_port *port, const char *name, bool with_xdp)
{
	int err = lk_port_open(port, name);

	if (err) {
		fprintf(stderr, "linkem: %s: cannot take over the interface: %s\n", name,
			strerror(-err));
		return err;
	}
	if (!with_xdp)
		return 0;
	port->xdp_fd = lk_xdp_attach_pass(name);
	if (port->xdp_fd >= 0)
		return 0;
	fprintf(stderr, "linkem: %s: cannot attach an XDP program: %s\n", name,
		strerror(-port->xdp_fd));
	return port->xdp_fd;
}

static int open_ports(struct lk_emulator *em, char **names, bool with_xdp)
{
	int i, err;

	for (i = 0; i < 2; i++) {
		err = open_port(&em->port[i], names[i], with_xdp);
		if (err)
			return err;
	}
	return 0;
}

static int open_loop(struct loop *loop, const struct options *opts, char **names)
{
	int err;

	err = open_ports(&loop->em, names, opts->with_xdp);
	if (err)
		return err;
	loop->signal_fd = open_signals();
	if (loop->signal_fd < 0)
		return -errno;
	if (!opts->ctl_path)
		return 0;
	loop->listen_fd = lk_ctl_listen(opts->ctl_path);
	if (loop->listen_fd < 0) {
		fprintf(stderr, "linkem: %s: cannot create the control socket: %s\n",
			opts->ctl_path, strerror(-loop->listen_fd));
		return loop->listen_fd;
	}
	loop->ctl_path = opts->ctl_path;	/* ours now, so unlinked at the end */
	return 0;
}

static void close_loop(struct loop *loop)
{
	int i;

	for (i = 0; i < 2; i++) {
		lk_port_close(&loop->em.port[i]);
		lk_pipe_exit(&loop->em.pipe[i]);
	}
	if (loop->ctl_path)
		unlink(loop->ctl_path);
}

static int apply_arguments(struct lk_emulator *em, int argc, char **argv)
{
	char *message = NULL;
	size_t len;
	FILE *err = open_memstream(&message, &len);
	int ret;

	if (!err)
		return -errno;
	ret = lk_ctl_apply(em, argc, argv, err);
	if (fclose(err) == 0 && ret)
		fprintf(stderr, "linkem: %s", message);
	free(message);
	return ret;
}

static int emulate(const struct options *opts, int argc, char **argv)
{
	static struct loop loop = { .listen_fd = -1, .client_fd = -1, .signal_fd = -1 };
	int err, i;

	for (i = 0; i < 2; i++) {
		loop.em.port[i].fd = -1;
		loop.em.port[i].xdp_fd = -1;
		lk_pipe_init(&loop.em.pipe[i], 2 * opts->seed + i);
		loop.em.pipe[i].back = &loop.em.pipe[!i];
	}
	if (apply_arguments(&loop.em, argc - 2, argv + 2))
		return 2;
	err = open_loop(&loop, opts, argv);
	if (!err) {
		if (!opts->no_rt)
			raise_priority();
		puts("linkem: ready");
		fflush(stdout);
		err = run(&loop);
	}
	close_loop(&loop);
	return !!err;
}

int main(int argc, char **argv)
{
	struct options opts = { .seed = 1 };
	int opt;

	if (argc > 1 && !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	if (argc > 3 && !strcmp(argv[1], "ctl"))
		return lk_ctl_request(argv[2], argc - 3, argv + 3);
	while ((opt = getopt(argc, argv, "+s:S:nx")) != -1) {
		if (opt == 's')
			opts.ctl_path = optarg;
		else if (opt == 'S')
			opts.seed = strtoull(optarg, NULL, 0);
		else if (opt == 'n')
			opts.no_rt = true;
		else if (opt == 'x')
			opts.with_xdp = true;
		else
			return 2;
	}
	if (argc - optind < 2) {
		usage(stderr);
		return 2;
	}
	return emulate(&opts, argc - optind, argv + optind);
}

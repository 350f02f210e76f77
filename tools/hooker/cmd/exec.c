// SPDX-License-Identifier: GPL-2.0
/*
 * hooker exec: runs a command in a cgroup of its own, for which there is a rule of its
 * own; with the daemon that runs, or with one that is started for it.
 *
 * What the command is to its caller stays: its standard streams, its process group, its
 * exit status, the signals that it gets and the one that it dies of. Whatever it leaves
 * running moves up into the cgroup that we came from, so that ours can be removed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cmd.h"
#include "../carrier/carrier.h"
#include "../relay/io.h"
#include "../relay/policy.h"

/* As env(1) and its like have it */
#define EXIT_OURS	125	/* we failed, the command was not started */
#define EXIT_CANNOT	126	/* it was found, but not executed */
#define EXIT_NOT_FOUND	127

#define VIA_MAX		100	/* bytes of all names behind "via" */
#define MOVE_ROUNDS	100	/* who forks faster than we move has the cgroup stay */
#define READY		"hooker: ready\n"

const char *const hk_exec_words[] = {
	"in", "out", "from", "to", "port", "via", "cover", "cc", "hold", "native-first", "none",
	NULL
};

/* Passed on to the command if somebody sent them to us; the terminal sends to both */
static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };

/**
 * struct exec - a command that is run
 * @env:     global options
 * @rule:    its rule, without cgroup
 * @via:     what the rule's "via" says, if a name in it is known to a running daemon at best;
 *	     then @rule is without that. NULL: nothing of the kind
 * @unknown: the message about that name
 * @argv:    the command
 * @parent:  cgroup directory that we are in
 * @cgroup:  the one made for the command; "" before
 * @daemon:  private daemon; 0: none
 * @command: process of the command
 * @old:     signal mask as we found it
 * @chld:    what SIGCHLD did: ignored, it would keep the exit status from us
 * @waited:  what sigwaitinfo() waits for
 */
struct exec {
	struct hk_cmd_env	*env;
	struct hk_rule		rule;
	char			*via;
	char			unknown[HK_POLICY_ERROR];
	char			**argv;
	char			parent[HK_RULE_PATH], cgroup[HK_RULE_PATH];
	pid_t			daemon, command;
	sigset_t		old, waited;
	sighandler_t		chld;
};

/* Mechanisms have names that the daemon knows: all but these is checked here */
static int parse_rule(struct exec *x, int argc, char **argv, struct hk_policy_error *error)
{
	char hold[] = "hold", *const none_given[] = { hold };
	char known[] = "udp";
	int i, err;

	if (!argc)
		return hk_rule_parse(&x->rule, none_given, 1, error);
	err = hk_rule_parse(&x->rule, argv, argc, error);
	if (!err || !error->unknown_carrier)
		return err;
	memcpy(x->unknown, error->text, sizeof(x->unknown));
	for (i = 0; i < argc - 2 && strcmp(argv[i], "via"); i++)
		;
	x->via = argv[i + 1];
	argv[i + 1] = known;
	err = hk_rule_parse(&x->rule, argv, argc, error);
	argv[i + 1] = x->via;
	x->rule.protos = 0;
	return err;
}

static int read_rule(struct exec *x, int argc, char **argv)
{
	struct hk_policy_error error = {};
	struct hk_cmd_env *env = x->env;

	if (parse_rule(x, argc, argv, &error))
		return hk_cmd_usage(env, "%s", error.text);
	if (x->rule.pref || x->rule.first)
		return hk_cmd_usage(env, "pref, first: the rule stands before all others anyway");
	if (*x->rule.cgroup)
		return hk_cmd_usage(env, "cgroup: the command gets one of its own");
	if (x->via && (strlen(x->via) > VIA_MAX || strpbrk(x->via, " \t\r\v\f\n#")))
		return hk_cmd_usage(env, "%s", x->unknown);
	x->rule.first = true;
	return HK_EXIT_OK;
}

/* "0::/path": where cgroup v2 has us */
static int find_parent(struct exec *x)
{
	char mount[128], line[HK_RULE_PATH] = "";
	FILE *file = fopen("/proc/self/cgroup", "re");
	bool found = false;
	int len;

	while (file && !found && fgets(line, sizeof(line), file))
		found = !strncmp(line, "0::/", 4) && strncmp(line, "0::/..", 6);
	if (file)
		fclose(file);
	if (!found || hk_host_cgroup2(mount, sizeof(mount)))
		return -ENOENT;
	line[strcspn(line, "\n")] = '\0';
	len = snprintf(x->parent, sizeof(x->parent), "%s%s", mount, line[4] ? line + 3 : "");
	return len < (int)sizeof(x->parent) - 32 ? 0 : -ENAMETOOLONG;
}

static int make_cgroup(struct exec *x)
{
	char path[sizeof(x->cgroup) + 32];
	int err = find_parent(x);

	if (err)
		return hk_cmd_fail(x->env, "finding the cgroup v2 that this process is in: %s",
				   strerror(-err));
	snprintf(path, sizeof(path), "%s/hooker-exec.%d", x->parent, getpid());
	if (mkdir(path, 0755))
		return hk_cmd_fail(x->env, "%s: %s%s", path, strerror(errno),
				   geteuid() ? "; exec needs root" : "");
	memcpy(x->cgroup, path, strlen(path) + 1);
	return HK_EXIT_OK;
}

static int write_pid(const char *cgroup, long pid)
{
	char path[PATH_MAX], text[24];
	int len = snprintf(text, sizeof(text), "%ld", pid);
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != len)
		err = -errno;
	close(fd);
	return err;
}

static const char *moved_to;	/* nftw() passes no argument on */

/* Returns how many processes there were */
static int move_processes(const char *from)
{
	char path[PATH_MAX];
	FILE *file;
	int nr = 0;
	long pid;

	snprintf(path, sizeof(path), "%s/cgroup.procs", from);
	file = fopen(path, "re");
	while (file && fscanf(file, "%ld", &pid) == 1) {
		write_pid(moved_to, pid);
		nr++;
	}
	if (file)
		fclose(file);
	return nr;
}

static int clear_cgroup(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	int i;

	(void)st;
	(void)ftw;
	if (type != FTW_DP)
		return 0;
	for (i = 0; i < MOVE_ROUNDS; i++)
		if (!move_processes(path) && !rmdir(path))
			break;
	return 0;
}

static void remove_cgroup(struct exec *x)
{
	struct stat st;

	if (!*x->cgroup)
		return;
	moved_to = x->parent;
	nftw(x->cgroup, clear_cgroup, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (!stat(x->cgroup, &st))
		hk_cmd_fail(x->env, "%s: cannot be removed, it is still in use", x->cgroup);
}

static int add_rule(struct exec *x)
{
	char text[HK_RULE_TEXT], line[HK_RULE_TEXT + VIA_MAX + 16];

	memcpy(x->rule.cgroup, x->cgroup, sizeof(x->rule.cgroup));
	hk_rule_format(&x->rule, text);
	snprintf(line, sizeof(line), "add %s%s%s", text, x->via ? " via " : "",
		 x->via ?: "");
	return hk_cmd_tell(x->env, "policy-edit", line, strlen(line), "");
}

static void remove_rule(struct exec *x)
{
	char line[HK_RULE_PATH + 16];

	snprintf(line, sizeof(line), "del cgroup %s", x->cgroup);
	hk_cmd_tell(x->env, "policy-edit", line, strlen(line), "");
}

/* The usual port, which firewalls know, or any that is free */
static __u16 choose_port(void)
{
	struct sockaddr_in6 addr = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(HK_DEFAULT_PORT),
	};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);

	if (fd < 0)
		return HK_DEFAULT_PORT;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		addr.sin6_port = 0;
		if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
		    getsockname(fd, (struct sockaddr *)&addr, &len))
			addr.sin6_port = htons(HK_DEFAULT_PORT);
	}
	close(fd);
	return ntohs(addr.sin6_port);
}

/* No XDP: it is the host's devices', not one command's */
static int be_daemon(const struct exec *x)
{
	struct hk_relay_config config = {
		.cgroup = x->cgroup,
		.port = choose_port(),
		.no_xdp = true,
		.policy_file = "exec",
		.patient = true,
		.dead_time_s = HK_DEFAULT_DEAD_TIME,
		.debug = x->env->debug,
	};
	struct hk_policy *policy = calloc(1, sizeof(*policy));
	const struct hk_carrier_ops *ops;
	unsigned int i;
	char name[32];

	if (!policy)
		return EXIT_OURS;
	policy->nr = 1;
	policy->rules[0] = x->rule;
	policy->rules[0].first = false;
	policy->rules[0].pref = HK_PREF_FIRST;
	config.policy = policy;
	for (i = 0; i < 7 && (ops = hk_carrier_at(i)); i++)
		config.carriers[i] = ops->name;
	snprintf(name, sizeof(name), "exec-%d", getppid());
	config.name = name;
	return hk_relay_run(&config) ? EXIT_OURS : 0;
}

static void daemon_child(const struct exec *x, int out, int err)
{
	pid_t parent = getppid();
	int code;

	setsid();			/* the terminal's signals are the command's */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigprocmask(SIG_SETMASK, &x->old, NULL);
	dup2(out, STDOUT_FILENO);
	if (!x->env->debug)
		dup2(err, STDERR_FILENO);
	if (getppid() != parent)
		_exit(EXIT_OURS);
	code = be_daemon(x);
	fflush(NULL);
	_exit(code);
}

static bool is_ready(int fd)
{
	char text[sizeof(READY)] = "";

	return hk_read_all(fd, text, sizeof(READY) - 1) >= 0 && !strcmp(text, READY);
}

/* What it had to say is of interest only if it does not run */
static int report_daemon(struct exec *x, int err)
{
	char text[1024];
	ssize_t n = pread(err, text, sizeof(text) - 1, 0);

	waitpid(x->daemon, NULL, 0);
	x->daemon = 0;
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return hk_cmd_fail(x->env, "starting a private daemon: %s", *text ? text : "it ended");
}

static int start_daemon(struct exec *x)
{
	int err = memfd_create("hooker-exec", MFD_CLOEXEC);
	int out[2], ret = HK_EXIT_OK;

	if (err < 0)
		return hk_cmd_fail(x->env, "starting a private daemon: %s", strerror(errno));
	if (pipe2(out, O_CLOEXEC)) {
		close(err);
		return hk_cmd_fail(x->env, "starting a private daemon: %s", strerror(errno));
	}
	x->daemon = fork();
	if (!x->daemon)
		daemon_child(x, out[1], err);
	close(out[1]);
	if (x->daemon < 0)
		ret = hk_cmd_fail(x->env, "starting a private daemon: %s", strerror(errno));
	else if (!is_ready(out[0]))
		ret = report_daemon(x, err);
	close(out[0]);
	close(err);
	return ret;
}

static void command_child(const struct exec *x)
{
	int err = write_pid(x->cgroup, 0);

	if (err) {
		hk_cmd_fail(x->env, "%s: %s", x->cgroup, strerror(-err));
		_exit(EXIT_OURS);
	}
	signal(SIGCHLD, x->chld);
	sigprocmask(SIG_SETMASK, &x->old, NULL);
	execvp(x->argv[0], x->argv);
	err = errno;
	hk_cmd_fail(x->env, "%s: %s", x->argv[0], strerror(err));
	_exit(err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT);
}

/* Returns the next signal that is not for the command */
static int next_signal(const struct exec *x, pid_t to)
{
	siginfo_t info;
	int sig;

	for (;;) {
		sig = sigwaitinfo(&x->waited, &info);
		if (sig < 0)
			continue;
		if (sig == SIGCHLD)
			return sig;
		if (info.si_code <= 0)	/* from a process, not from the terminal */
			kill(to, sig);
	}
}

static int wait_command(struct exec *x)
{
	int status;

	while (waitpid(x->command, &status, WNOHANG) <= 0)
		next_signal(x, x->command);
	return status;
}

/*
 * The command has ended, perhaps not its last bytes: the daemon stays until its connections
 * have ended. A signal cuts that short.
 */
static void stop_daemon(struct exec *x)
{
	if (!x->daemon)
		return;
	kill(x->daemon, SIGTERM);
	while (!waitpid(x->daemon, NULL, WNOHANG))
		next_signal(x, x->daemon);
	x->daemon = 0;
}

static void block_signals(struct exec *x)
{
	size_t i;

	sigemptyset(&x->waited);
	sigaddset(&x->waited, SIGCHLD);
	for (i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(&x->waited, forwarded[i]);
	sigprocmask(SIG_BLOCK, &x->waited, &x->old);
	x->chld = signal(SIGCHLD, SIG_DFL);
}

/* Our caller shall see what it would have seen of the command */
static int pass_on(int status)
{
	const struct rlimit none = { 0 };
	sigset_t set;
	int sig;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	sig = WTERMSIG(status);
	setrlimit(RLIMIT_CORE, &none);	/* the command has left one already */
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 128 + sig;
}

static int run_command(struct exec *x)
{
	fflush(NULL);
	x->command = fork();
	if (!x->command)
		command_child(x);
	if (x->command < 0) {
		hk_cmd_fail(x->env, "fork: %s", strerror(errno));
		return EXIT_OURS << 8;
	}
	return wait_command(x);
}

/* Returns a wait status */
static int run_in_cgroup(struct exec *x, bool served)
{
	int status = EXIT_OURS << 8;

	if (served ? !add_rule(x) : !start_daemon(x))
		status = run_command(x);
	else
		served = false;
	if (served)
		remove_rule(x);
	stop_daemon(x);
	return status;
}

static int run(struct exec *x)
{
	char other[HK_DAEMON_NAME];
	bool served = hk_cmd_daemon_serves(x->env->name);
	int status;

	if (!served && hk_cmd_daemon_here(other)) {
		hk_cmd_fail(x->env, "daemon %s serves this network namespace: --name %s", other,
			    other);
		return EXIT_OURS;
	}
	if (!served && x->via) {
		hk_cmd_fail(x->env, "%s; a private daemon has no mechanisms", x->unknown);
		return EXIT_OURS;
	}
	if (make_cgroup(x))
		return EXIT_OURS;
	block_signals(x);
	status = run_in_cgroup(x, served);
	remove_cgroup(x);
	sigprocmask(SIG_SETMASK, &x->old, NULL);
	return pass_on(status);
}

/**
 * hk_cmd_exec() - hooker exec
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code: that of the command, or one of ours. It does not return if a signal
 * ended the command.
 */
int hk_cmd_exec(struct hk_cmd_env *env, int argc, char **argv)
{
	struct exec x = { .env = env };
	int nr, err;

	for (nr = 0; nr < argc && strcmp(argv[nr], "--"); nr++)
		;
	x.argv = argv + nr + 1;
	err = hk_cmd_options(env, NULL, NULL, &nr, argv);
	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("exec"));
	if (x.argv >= argv + argc)
		return hk_cmd_usage(env, "\"-- COMMAND\" is missing");
	err = read_rule(&x, nr, argv);
	if (err)
		return err;
	if (env->json)
		return hk_cmd_usage(env, "-j: the output is the command's own");
	return run(&x);
}

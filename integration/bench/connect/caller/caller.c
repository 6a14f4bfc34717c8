// Calls servers and says how long it took. It serves what it calls by itself, in other network namespaces and between two calls,
// so that no other process has to be woken within a call.
//
// Arguments: NETNS ADDRESS PORT, repeated: where to listen, for TCP and for UDP.
// A line on stdin: "tcp COUNT ADDRESS PORT …" or "udp COUNT ADDRESS PORT …" makes COUNT calls, the addresses taking turns. The answer is
// one line: the nanoseconds of each call. tcp: connect(). udp: connect() and send() of one byte.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LISTENERS_MAX 64
#define TARGETS_MAX 256
#define LINE_MAX_BYTES (TARGETS_MAX * 64)
#define ARRIVAL_WAIT_MS 5000

struct address {
	struct sockaddr_storage at;
	socklen_t size;
};

static struct pollfd tcp_listeners[LISTENERS_MAX];
static struct pollfd udp_listeners[LISTENERS_MAX];
static int listeners;

static void __attribute__((noreturn)) fail(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(error));
	exit(1);
}

static struct address parse(const char *text, const char *port)
{
	struct address out = {};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out.at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out.at;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(atoi(port));
		out.size = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(atoi(port));
		out.size = sizeof(*v6);
	} else {
		errno = EINVAL;
		fail("not an address: %s", text);
	}
	return out;
}

static int bound(const struct address *to, int type)
{
	int fd = socket(to->at.ss_family, type | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&to->at, to->size) != 0)
		fail("cannot bind");
	return fd;
}

// A socket stays in the namespace in which it was made.
static void listen_in(const char *netns, const char *address, const char *port)
{
	struct address to = parse(address, port);
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (listeners == LISTENERS_MAX || fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		fail("cannot enter %s", netns);
	close(fd);
	tcp_listeners[listeners] = (struct pollfd){ .fd = bound(&to, SOCK_STREAM), .events = POLLIN };
	udp_listeners[listeners] = (struct pollfd){ .fd = bound(&to, SOCK_DGRAM), .events = POLLIN };
	if (listen(tcp_listeners[listeners].fd, 128) != 0)
		fail("cannot listen on %s", address);
	listeners++;
}

static struct pollfd *arrived(struct pollfd *at)
{
	if (poll(at, listeners, ARRIVAL_WAIT_MS) <= 0) {
		errno = ETIMEDOUT;
		fail("a call reached none of the servers");
	}
	for (int i = 0; i < listeners; i++)
		if (at[i].revents != 0)
			return &at[i];
	abort();
}

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static long call_tcp(const struct address *to)
{
	// Closing resets: no port is held by a connection that waits for its end.
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	int fd = socket(to->at.ss_family, SOCK_STREAM, 0), server;
	long from, took;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) != 0)
		fail("socket");
	from = now_ns();
	if (connect(fd, (const struct sockaddr *)&to->at, to->size) != 0)
		fail("connect");
	took = now_ns() - from;
	server = accept(arrived(tcp_listeners)->fd, NULL, NULL);
	if (server < 0)
		fail("accept");
	close(fd);
	close(server);
	return took;
}

static long call_udp(const struct address *to)
{
	int fd = socket(to->at.ss_family, SOCK_DGRAM, 0);
	long from, took;
	char byte = 0;

	if (fd < 0)
		fail("socket");
	from = now_ns();
	if (connect(fd, (const struct sockaddr *)&to->at, to->size) != 0)
		fail("connect");
	if (send(fd, &byte, 1, 0) != 1)
		fail("send");
	took = now_ns() - from;
	if (recv(arrived(udp_listeners)->fd, &byte, 1, 0) != 1)
		fail("recv");
	close(fd);
	return took;
}

static void answer(char *line)
{
	static struct address targets[TARGETS_MAX];
	const char *blank = " \"\n";
	const char *protocol = strtok(line, blank), *count = strtok(NULL, blank), *address, *port;
	bool is_tcp = protocol != NULL && strcmp(protocol, "tcp") == 0;
	int known = 0;

	errno = EINVAL;
	while ((address = strtok(NULL, blank)) != NULL) {
		port = strtok(NULL, blank);
		if (port == NULL || known == TARGETS_MAX)
			fail("targets");
		targets[known++] = parse(address, port);
	}
	if (known == 0)
		fail("no targets");
	for (int i = 0; i < atoi(count); i++) {
		const struct address *to = &targets[i % known];

		printf("%ld ", is_tcp ? call_tcp(to) : call_udp(to));
	}
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static char line[LINE_MAX_BYTES];
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	for (int i = 1; i + 2 < argc; i += 3)
		listen_in(argv[i], argv[i + 1], argv[i + 2]);
	if (home < 0 || setns(home, CLONE_NEWNET) != 0)
		fail("cannot go home");
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL)
		answer(line);
	return 0;
}

/*
 * Says when connections reach what they are expected to reach. Lines on stdin, JSON strings:
 *
 *   "expect ID ADDRESS PORT BACKEND TIMEOUT_MS"   BACKEND -1: any
 *
 * While something is expected, one connection to the next expectation begins in each period. The first one that reaches its backend
 * ends the expectation:
 *
 *   reached ID BEGAN_US CONNECTS FAILED
 *
 * BEGAN_US: CLOCK_MONOTONIC before connect() of that connection. CONNECTS and FAILED: how many there were for it, and how many
 * of them failed or timed out.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "connects.h"

#define EXPECTED_MAX 1024
#define LINES_MAX 65536

struct expectation {
	long id;
	struct sockaddr_in to;
	int backend;
	int timeout_ms;
	long connects, failed;
};

static struct expectation expected[EXPECTED_MAX];
static int count, next;

static long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

/* Number of the backend; -1: none. */
static int reach(const struct expectation *e)
{
	struct linger reset = { .l_onoff = 1 };
	unsigned char said;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), answer = -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (!connect(fd, (const struct sockaddr *)&e->to, sizeof(e->to)) || errno == EINPROGRESS) {
		if (poll(&p, 1, e->timeout_ms) == 1 && recv(fd, &said, 1, 0) == 1)
			answer = said;
	}
	close(fd);
	return answer;
}

static void probe_next(void)
{
	struct expectation *e;
	long began;
	int answer;

	if (next >= count)
		next = 0;
	e = &expected[next++];
	began = now_us();
	answer = reach(e);
	e->connects++;
	if (answer < 0)
		e->failed++;
	if (answer < 0 || (e->backend >= 0 && answer != e->backend))
		return;
	printf("reached %ld %ld %ld %ld\n", e->id, began, e->connects, e->failed);
	fflush(stdout);
	*e = expected[--count];
}

static void take(const char *line)
{
	struct expectation e = { .to.sin_family = AF_INET };
	char address[64];
	int port;

	if (sscanf(line, "\"expect %ld %63s %d %d %d", &e.id, address, &port, &e.backend, &e.timeout_ms) != 5)
		return;
	e.to.sin_port = htons(port);
	if (inet_pton(AF_INET, address, &e.to.sin_addr) == 1 && count < EXPECTED_MAX)
		expected[count++] = e;
}

/* Whole lines of what has come; -1: the end. */
static int listen_in(void)
{
	static char text[LINES_MAX];
	static size_t held;
	ssize_t got = read(0, text + held, sizeof(text) - 1 - held);
	char *line = text, *end;

	if (got <= 0)
		return got < 0 && errno == EAGAIN ? 0 : -1;
	held += got;
	text[held] = 0;
	while ((end = strchr(line, '\n'))) {
		*end = 0;
		take(line);
		line = end + 1;
	}
	held -= line - text;
	memmove(text, line, held);
	return 0;
}

int probe(long period_us)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	long due = 0;

	fcntl(0, F_SETFL, O_NONBLOCK);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		long wait_us = due - now_us();
		struct timespec wait = { 0, wait_us > 0 ? wait_us * 1000 : 0 };

		if (ppoll(&in, 1, count ? &wait : NULL, NULL) > 0 && listen_in())
			return 0;
		if (!count || now_us() < due)
			continue;
		due = now_us() + period_us;
		probe_next();
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Program: load --port N --agents N [--tcp] [--inflight N] [--window BYTES] [--mss BYTES] [--prefix TEXT]
 *               [--tls-ca FILE --tls-ca-key FILE]
 *
 * That many agents of a control plane on loopback, one connection each. With an authority by mTLS: it signs what they show, and has
 * signed what they are shown. Commands on stdin, one a line:
 *
 *   connect    opens what is closed
 *   resume     the same, with the TLS sessions of the connections before
 *   seed       opens the first agent; what it holds then, all others will say they hold
 *   close      closes all
 *   stall N    the first N agents stop reading
 *   unstall    they read again
 *   deaf N     the first N agents, which hold nothing, come anew and read nothing at all
 *   deaf-old N the same, each saying it holds another of the last revisions
 *   returns    agents that are lost come back by themselves from now on, as agents do: when they were told, or after a backoff
 *   counts     prints what was counted so far
 *
 * Events on stdout, one line of JSON each; times are CLOCK_MONOTONIC microseconds, counts are since the start:
 *
 *   {"event":"up", …}        all are connected and told that they are at the head
 *   {"event":"seeded", …}    the first agent is connected and told that it is at the head
 *   {"event":"reached", …}   all that are not stalled run `revision` and have acked it
 *   {"event":"returned", …}  all were lost, and are connected again and told that they are at the head
 *   {"event":"deaf", …}      those that do not read have said Hello
 *   {"event":"closed", …}    all are closed
 *   {"event":"counts", …}
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define RECEIVE_BYTES (256 * 1024)
#define SAID_MAX 5
/* As nodeagent/sync/backoff.ts. */
#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS 5000
#define RETRY_POLL_MS 5

struct options options = {.inflight = 256, .window = 1024 * 1024, .prefix = "agent-"};
struct counts counts;

static struct agent *agents;
static int poll_fd;
static int opened, up, stalled, returned, deaf, greeted;
static bool is_resuming, is_seeding, do_return;
static uint64_t connect_ns;
/* When each of those that returned was back, in that order. */
static uint64_t *return_us;
/* The newest revision that any agent has seen: when, who runs it, and when each acked it. */
static struct {
  uint64_t revision, first_ns;
  int acked;
  uint64_t *acked_ns;
} head;

uint64_t now_ns(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

void fail(const char *format, ...) {
  va_list arguments;

  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static void watch(struct agent *agent, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = agent};

  if (epoll_ctl(poll_fd, operation, agent->fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

/* --- what is said --- */

static void say(const char *event, const char *format, ...) {
  struct rusage usage;
  va_list arguments;

  getrusage(RUSAGE_SELF, &usage);
  printf("{\"event\":\"%s\"", event);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf(",\"bytes\":%ju,\"dataBytes\":%ju,\"sentDataBytes\":%ju,\"acks\":%ju,\"heartbeats\":%ju,\"messages\":%ju,"
         "\"lost\":%ju,\"resumed\":%ju,\"cpuUs\":%ju}\n",
         (uintmax_t)counts.bytes, (uintmax_t)counts.data_bytes, (uintmax_t)counts.sent_data_bytes,
         (uintmax_t)counts.acks, (uintmax_t)counts.heartbeats, (uintmax_t)counts.messages, (uintmax_t)counts.lost,
         (uintmax_t)counts.resumed,
         (uintmax_t)((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000ULL + usage.ru_utime.tv_usec +
                     usage.ru_stime.tv_usec));
  fflush(stdout);
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

  return x < y ? -1 : x > y;
}

static void say_if_reached(void) {
  if (!head.revision || head.acked == 0 || head.acked < up - stalled || up < options.agents) return;
  qsort(head.acked_ns, head.acked, sizeof *head.acked_ns, compare);
  say("reached", ",\"revision\":%ju,\"agents\":%d,\"firstUs\":%ju,\"ackedP50Us\":%ju,\"ackedP99Us\":%ju,\"ackedLastUs\":%ju",
      (uintmax_t)head.revision, head.acked, (uintmax_t)head.first_ns / 1000,
      (uintmax_t)head.acked_ns[head.acked / 2] / 1000, (uintmax_t)head.acked_ns[head.acked * 99 / 100] / 1000,
      (uintmax_t)head.acked_ns[head.acked - 1] / 1000);
}

/* --- what the readers tell --- */

void agent_is_up(struct agent *agent) {
  if (agent->phase == AGENT_UP) return;
  agent->phase = AGENT_UP;
  agent->tries = 0;
  up++;
  if (is_seeding) {
    is_seeding = false;
    for (int i = 0; i < options.agents; i++) {
      agents[i].revision = agent->revision;
      agents[i].epoch = agent->epoch;
    }
    say("seeded", "");
  }
  if (do_return) {
    if (agent->has_returned) return;
    agent->has_returned = true;
    return_us[returned++] = (now_ns() - connect_ns) / 1000;
    if (returned < options.agents) return;
    do_return = false;
    say("returned", ",\"elapsedUs\":%ju,\"p50Us\":%ju", (uintmax_t)return_us[returned - 1],
        (uintmax_t)return_us[returned / 2]);
    return;
  }
  if (up < options.agents) return;
  say("up", ",\"elapsedUs\":%ju", (uintmax_t)(now_ns() - connect_ns) / 1000);
  say_if_reached();
}

void agent_sees(struct agent *agent, uint64_t revision) {
  (void)agent;
  if (revision <= head.revision) return;
  head.revision = revision;
  head.first_ns = now_ns();
  head.acked = 0;
}

static void acknowledge(struct agent *agent) {
  agent->owes_ack = false;
  send_ack(agent);
  if (agent->revision != head.revision) return;
  head.acked_ns[head.acked++] = now_ns();
  say_if_reached();
}

void agent_reached(struct agent *agent, uint64_t revision) {
  agent_sees(agent, revision);
  agent->epoch = agent->welcomed;
  if (revision == agent->revision) return;
  agent->revision = revision;
  if (is_digest_coming(revision)) agent->owes_ack = true;
  else acknowledge(agent);
}

void agent_moved(struct agent *agent, uint64_t revision) {
  agent->epoch = agent->welcomed;
  agent->revision = revision;
  if (store_revision() != revision) store_commit(revision);
  send_ack(agent);
}

void digest_is_known(void) {
  for (int i = 0; i < options.agents; i++)
    if (agents[i].owes_ack) acknowledge(&agents[i]);
}

static void close_agent(struct agent *agent) {
  if (agent->fd < 0) return;
  if (agent->phase == AGENT_UP) up--;
  opened--;
  tls_end(agent);
  close(agent->fd);
  agent->fd = -1;
  agent->phase = AGENT_CLOSED;
  agent->owes_ack = false;
  forget_connection(agent);
  forget_keeper(agent);
}

/* Full jitter. */
static uint64_t backoff_ms(struct agent *agent) {
  uint64_t ms = BACKOFF_FIRST_MS << (agent->tries < 10 ? agent->tries : 10);

  agent->tries++;
  return (ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS) * drand48();
}

static void come_back(struct agent *agent, uint64_t after_ms) {
  uint64_t own_ms = backoff_ms(agent);

  close_agent(agent);
  agent->retry_ns = now_ns() + (after_ms > own_ms ? after_ms : own_ms) * 1000000;
}

void agent_told_to_leave(struct agent *agent, uint32_t retry_after_ms) {
  if (do_return) come_back(agent, retry_after_ms);
  else agent_lost(agent, "the control plane said goodbye");
}

void agent_lost(struct agent *agent, const char *why) {
  if (agent->fd < 0) return;
  if (do_return) return come_back(agent, 0);
  if (counts.lost++ < SAID_MAX) fprintf(stderr, "load: agent %d: %s\n", agent->index, why);
  close_agent(agent);
  say("lost", "");
}

/* --- connections --- */

static void open_agent(struct agent *agent) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;

  agent->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (agent->fd < 0) fail("socket %d: %s; the limit of open files is too low", agent->index, strerror(errno));
  setsockopt(agent->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (options.mss) setsockopt(agent->fd, IPPROTO_TCP, TCP_MAXSEG, &options.mss, sizeof options.mss);
  agent->phase = AGENT_CONNECTING;
  opened++;
  if (connect(agent->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
    return agent_lost(agent, strerror(errno));
  watch(agent, EPOLL_CTL_ADD, EPOLLOUT);
}

static int next_to_open;

static void open_more(void) {
  while (next_to_open < options.agents && opened - up < options.inflight) {
    struct agent *agent = &agents[next_to_open++];
    if (agent->fd < 0) open_agent(agent);
  }
}

/* Those whose time has come. */
static void open_again(void) {
  uint64_t now = now_ns();

  for (int i = 0; i < options.agents && opened - up < options.inflight; i++) {
    struct agent *agent = &agents[i];
    if (!agent->retry_ns || agent->retry_ns > now) continue;
    agent->retry_ns = 0;
    if (agent->fd < 0) open_agent(agent);
  }
}

static void greet(struct agent *agent) {
  agent->phase = AGENT_GREETING;
  watch(agent, EPOLL_CTL_MOD, EPOLLIN);
  send_preface(agent);
  send_hello(agent);
  if (agent->claim == CLAIM_TRUE) return;
  epoll_ctl(poll_fd, EPOLL_CTL_DEL, agent->fd, NULL);
  if (++greeted == deaf) say("deaf", "");
}

static void shake_hands(struct agent *agent) {
  switch (tls_handshake(agent)) {
    case HANDSHAKE_DONE: return greet(agent);
    case HANDSHAKE_READS: return watch(agent, EPOLL_CTL_MOD, EPOLLIN);
    case HANDSHAKE_WRITES: return watch(agent, EPOLL_CTL_MOD, EPOLLOUT);
    case HANDSHAKE_FAILED: return agent_lost(agent, strerror(errno));
  }
}

static void connected(struct agent *agent) {
  int error = 0;
  socklen_t length = sizeof error;

  getsockopt(agent->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error) return agent_lost(agent, strerror(error));
  if (!options.tls_ca) return greet(agent);
  agent->phase = AGENT_HANDSHAKING;
  tls_begin(agent, is_resuming);
  shake_hands(agent);
}

static void read_agent(struct agent *agent) {
  static uint8_t bytes[RECEIVE_BYTES];

  do {
    ssize_t got = transport_receive(agent, bytes, sizeof bytes);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) return agent_lost(agent, strerror(errno));
    if (got == 0) return agent_lost(agent, "the connection was closed");
    receive(agent, bytes, got);
  } while (agent->fd >= 0 && transport_has_more(agent));
}

static void handle(struct agent *agent, uint32_t events) {
  if (agent->fd < 0) return;
  if (agent->phase == AGENT_CONNECTING) return connected(agent);
  if (agent->phase == AGENT_HANDSHAKING) return shake_hands(agent);
  if (events & EPOLLOUT) {
    flush(agent);
    if (agent->fd >= 0 && !agent->unsent_length) watch(agent, EPOLL_CTL_MOD, EPOLLIN);
  }
  if (agent->fd >= 0 && (events & ~EPOLLOUT)) read_agent(agent);
  if (agent->fd >= 0 && agent->unsent_length) watch(agent, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

/* --- commands --- */

static void stall(int count) {
  if (count > options.agents) fail("stall %d of %d agents", count, options.agents);
  for (; stalled < count; stalled++) {
    struct agent *agent = &agents[stalled];
    if (agent->phase != AGENT_UP) fail("agent %d cannot stall: it is not up", stalled);
    agent->is_stalled = true;
    forget_keeper(agent);
    epoll_ctl(poll_fd, EPOLL_CTL_DEL, agent->fd, NULL);
  }
  say("stalled", ",\"agents\":%d", stalled);
}

static void unstall(void) {
  for (int i = 0; i < stalled; i++) {
    agents[i].is_stalled = false;
    if (agents[i].fd >= 0) watch(&agents[i], EPOLL_CTL_ADD, EPOLLIN);
  }
  stalled = 0;
}

static void deafen(int count, enum claim claim) {
  if (count > options.agents) fail("deaf %d of %d agents", count, options.agents);
  deaf = count;
  greeted = 0;
  for (int i = 0; i < count; i++) {
    close_agent(&agents[i]);
    agents[i].claim = claim;
    open_agent(&agents[i]);
  }
}

static void command(char *line) {
  if (!strcmp(line, "connect") || !strcmp(line, "resume")) {
    is_resuming = !strcmp(line, "resume");
    connect_ns = now_ns();
    next_to_open = 0;
  } else if (!strcmp(line, "seed")) {
    is_seeding = true;
    open_agent(&agents[0]);
  } else if (!strcmp(line, "close")) {
    next_to_open = options.agents;
    for (int i = 0; i < options.agents; i++) {
      close_agent(&agents[i]);
      agents[i].claim = CLAIM_TRUE;
    }
    stalled = 0;
    say("closed", "");
  } else if (!strncmp(line, "stall ", 6)) {
    stall(atoi(line + 6));
  } else if (!strcmp(line, "unstall")) {
    unstall();
  } else if (!strncmp(line, "deaf ", 5)) {
    deafen(atoi(line + 5), CLAIM_NOTHING);
  } else if (!strncmp(line, "deaf-old ", 9)) {
    deafen(atoi(line + 9), CLAIM_OLD);
  } else if (!strcmp(line, "returns")) {
    do_return = true;
    returned = 0;
    connect_ns = now_ns();
    for (int i = 0; i < options.agents; i++) agents[i].has_returned = false;
  } else if (!strcmp(line, "counts")) {
    say("counts", "");
  } else {
    fail("no command: %s", line);
  }
}

/* False: stdin has ended. */
static bool read_commands(void) {
  static char text[4096];
  static size_t length;
  ssize_t got = read(STDIN_FILENO, text + length, sizeof text - length - 1);
  char *end;

  if (got <= 0) return false;
  length += got;
  text[length] = 0;
  while ((end = strchr(text, '\n'))) {
    *end = 0;
    command(text);
    length -= end + 1 - text;
    memmove(text, end + 1, length + 1);
  }
  return true;
}

static void parse(int argc, char **argv) {
  static const struct option known[] = {
      {"port", required_argument, NULL, 'p'},     {"agents", required_argument, NULL, 'n'},
      {"tcp", no_argument, NULL, 't'},            {"inflight", required_argument, NULL, 'i'},
      {"window", required_argument, NULL, 'w'},   {"prefix", required_argument, NULL, 'x'},
      {"mss", required_argument, NULL, 'm'},      {"tls-ca", required_argument, NULL, 'c'},
      {"tls-ca-key", required_argument, NULL, 'k'}, {NULL, 0, NULL, 0},
  };

  for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (c) {
      case 'p': options.port = atoi(optarg); break;
      case 'n': options.agents = atoi(optarg); break;
      case 't': options.is_tcp = true; break;
      case 'i': options.inflight = atoi(optarg); break;
      case 'w': options.window = strtoul(optarg, NULL, 10); break;
      case 'm': options.mss = atoi(optarg); break;
      case 'x': options.prefix = optarg; break;
      case 'c': options.tls_ca = optarg; break;
      case 'k': options.tls_ca_key = optarg; break;
      default: exit(2);
    }
  if (options.port <= 0 || options.agents <= 0) fail("--port and --agents are needed");
  if (!options.tls_ca != !options.tls_ca_key) fail("--tls-ca and --tls-ca-key belong together");
  next_to_open = options.agents;
}

int main(int argc, char **argv) {
  struct epoll_event events[EVENTS_MAX], commands = {.events = EPOLLIN, .data.ptr = NULL};

  parse(argc, argv);
  agents = calloc(options.agents, sizeof *agents);
  head.acked_ns = calloc(options.agents, sizeof *head.acked_ns);
  return_us = calloc(options.agents, sizeof *return_us);
  if (!agents || !head.acked_ns || !return_us) fail("out of memory");
  for (int i = 0; i < options.agents; i++) agents[i] = (struct agent){.index = i, .fd = -1};
  poll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (poll_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &commands)) fail("epoll: %s", strerror(errno));
  if (options.tls_ca) tls_prepare();
  store_begin();
  for (;;) {
    int count = epoll_wait(poll_fd, events, EVENTS_MAX, do_return ? RETRY_POLL_MS : -1);
    for (int i = 0; i < count; i++) {
      struct agent *agent = events[i].data.ptr;
      if (!agent && !read_commands()) return 0;
      if (agent) handle(agent, events[i].events);
    }
    open_more();
    if (do_return) open_again();
  }
}

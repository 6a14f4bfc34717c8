/* SPDX-License-Identifier: Apache-2.0 */
/* The load side of the fan-out benches: many agents in one process, cheap enough not to distort what is measured. */
#ifndef WEFT_BENCH_LOAD_H
#define WEFT_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Messages up to this size, and the beginning of larger ones, are kept by every agent. */
#define MESSAGE_KEPT_MAX (64 * 1024)
#define FRAME_HEADER 9
#define MESSAGE_HEADER 5
#define CONTROL_FRAME_MAX 64

enum phase { AGENT_CLOSED, AGENT_CONNECTING, AGENT_HANDSHAKING, AGENT_GREETING, AGENT_UP };

struct options {
  int port;
  int agents;
  /* Raw TCP: gRPC messages without HTTP/2 around them. */
  bool is_tcp;
  /* Connections that are not up yet, at a time. */
  int inflight;
  uint32_t window;
  /* 0: as loopback has it, which takes in megabytes before a sender has to wait. */
  int mss;
  const char *prefix;
  /* Files of the authority of both sides; NULL: without TLS. */
  const char *tls_ca, *tls_ca_key;
};

struct ssl_st;
struct ssl_session_st;

/* Of a history. */
struct epoch {
  uint64_t created_ms;
  uint32_t random;
};

/* What an agent that never reads says it holds: nothing, or what the head held some revisions ago. */
enum claim { CLAIM_TRUE, CLAIM_NOTHING, CLAIM_OLD };

struct agent {
  int index, fd;
  enum phase phase;
  bool is_stalled;
  enum claim claim;
  /* It was away and is back: `returns`. */
  bool has_returned;
  /* Tries in a row that failed, and when the next one is due; 0: none is. */
  int tries;
  uint64_t retry_ns;
  /* NULL: without TLS, or before its handshake. */
  struct ssl_st *ssl;
  /* Of the connection before, if it gave one. */
  struct ssl_session_st *session;
  /* The reader of frames. */
  uint8_t frame_header[FRAME_HEADER], control[CONTROL_FRAME_MAX];
  uint32_t frame_header_got, frame_length, frame_got;
  uint32_t unacknowledged;
  /* The reader of messages. `message` holds what is kept of one that is not complete. */
  uint8_t message_header[MESSAGE_HEADER];
  uint32_t message_header_got, message_length, message_got, message_kept_max;
  uint8_t *message;
  /* What could not be sent yet. */
  uint8_t *unsent;
  size_t unsent_length;
  /* Of the last Welcome. */
  struct epoch welcomed;
  /* What it runs, of which history; 0: nothing. */
  uint64_t revision;
  struct epoch epoch;
  /* It would ack, but the digest is not known yet. */
  bool owes_ack;
  uint64_t heartbeat;
};

struct counts {
  /* What came from the control plane: TCP payload, as TLS opens it, and HTTP/2 DATA with its framing. */
  uint64_t bytes, data_bytes;
  /* DATA that the agents sent, with its framing. */
  uint64_t sent_data_bytes;
  uint64_t acks, heartbeats, messages;
  /* Connections that ended without being asked to. */
  uint64_t lost;
  /* TLS handshakes that a session made short. */
  uint64_t resumed;
};

extern struct options options;
extern struct counts counts;

uint64_t now_ns(void);
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* load.c: what the readers tell. */
void agent_is_up(struct agent *agent);
void agent_sees(struct agent *agent, uint64_t revision);
void agent_reached(struct agent *agent, uint64_t revision);
void agent_lost(struct agent *agent, const char *why);
/* It was told to leave, and when to come back. */
void agent_told_to_leave(struct agent *agent, uint32_t retry_after_ms);
/* It is at the head of another history, which holds the same. */
void agent_moved(struct agent *agent, uint64_t revision);
void digest_is_known(void);

/* connection.c: TCP and HTTP/2. */
void send_preface(struct agent *agent);
void send_message(struct agent *agent, const uint8_t *message, size_t length);
void flush(struct agent *agent);
/* Frames, or messages of raw TCP. */
void receive(struct agent *agent, const uint8_t *bytes, size_t length);
void forget_connection(struct agent *agent);

/* tls.c: what is under a connection: TLS, or just the socket. */
enum handshake { HANDSHAKE_DONE, HANDSHAKE_READS, HANDSHAKE_WRITES, HANDSHAKE_FAILED };
void tls_prepare(void);
void tls_begin(struct agent *agent, bool is_resumed);
/* Failed: errno says why. */
enum handshake tls_handshake(struct agent *agent);
void tls_end(struct agent *agent);
/* As send() and recv(). */
ssize_t transport_send(struct agent *agent, const void *bytes, size_t length);
ssize_t transport_receive(struct agent *agent, void *bytes, size_t length);
/* Something is here that poll() knows nothing of. */
bool transport_has_more(const struct agent *agent);

/* sync.c: weft.discovery.v1. */
void send_hello(struct agent *agent);
void send_ack(struct agent *agent);
/* A message whose beginning is `bytes`; `length` of them are kept, all of them if `is_whole`. */
void read_message(struct agent *agent, const uint8_t *bytes, size_t length, bool is_whole);
/* How much of a message of that length this agent keeps. */
uint32_t message_kept(struct agent *agent, uint32_t length);
/* Somebody is keeping a snapshot of it whole. */
bool is_digest_coming(uint64_t revision);
/* It reads no more. */
void forget_keeper(struct agent *agent);

/* store.c: what all agents hold at the newest revision, for its digest. */
struct totals {
  uint32_t services, backends;
};
void store_begin(void);
void store_put(const uint8_t *resource, size_t length);
void store_remove(uint64_t id);
void store_commit(uint64_t revision);
uint64_t store_revision(void);
bool store_digest(uint64_t revision, uint64_t *digest);
struct totals store_totals(void);

#endif

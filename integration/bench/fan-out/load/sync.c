/* SPDX-License-Identifier: Apache-2.0 */
/* weft.discovery.v1 from the agent's side, as far as a control plane can see it; protobuf by hand. The numbers are those of
 * proto/weft/discovery/v1/discovery.proto. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* So many revisions before the head agents that lie say they hold. */
#define OLD_REVISIONS_MAX 200

enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* The one agent that keeps a snapshot whole while it comes; NULL: none. */
static struct agent *keeper;
/* The part that it awaits, and those before, each behind its length. */
static uint32_t keeper_part;
static struct {
  uint8_t *bytes;
  size_t length;
} kept;

/* --- writing --- */

static uint8_t *put_varint(uint8_t *at, uint64_t value) {
  for (; value >= 128; value >>= 7) *at++ = value | 128;
  *at++ = value;
  return at;
}

static uint8_t *put_number(uint8_t *at, int field, uint64_t value) {
  if (!value) return at;
  *at++ = field << 3 | VARINT;
  return put_varint(at, value);
}

static uint8_t *put_fixed64(uint8_t *at, int field, uint64_t value) {
  if (!value) return at;
  *at++ = field << 3 | FIXED64;
  memcpy(at, &value, 8);
  return at + 8;
}

static uint8_t *put_fixed32(uint8_t *at, int field, uint32_t value) {
  *at++ = field << 3 | FIXED32;
  memcpy(at, &value, 4);
  return at + 4;
}

static uint8_t *put_bytes(uint8_t *at, int field, const void *bytes, size_t length) {
  *at++ = field << 3 | BYTES;
  at = put_varint(at, length);
  memcpy(at, bytes, length);
  return at + length;
}

static uint8_t *put_text(uint8_t *at, int field, const char *text) { return put_bytes(at, field, text, strlen(text)); }

static uint8_t *put_counts(uint8_t *at, int field) {
  struct totals totals = store_totals();
  uint8_t bytes[24], *end = put_number(put_number(bytes, 1, totals.services), 2, totals.backends);

  return put_bytes(at, field, bytes, end - bytes);
}

/* 0: of a revision that nobody kept whole. */
static uint64_t digest_of(uint64_t revision) {
  uint64_t digest = 0;

  if (revision) store_digest(revision, &digest);
  return digest;
}

/* What agents claim that lie: one that never reads is told of no mismatch. Each another one. */
static uint64_t claimed_revision(const struct agent *agent) {
  uint64_t old = agent->revision - 1 < OLD_REVISIONS_MAX ? agent->revision - 1 : OLD_REVISIONS_MAX;

  if (agent->claim == CLAIM_NOTHING || agent->revision == 0) return 0;
  return agent->claim == CLAIM_TRUE || old == 0 ? agent->revision : agent->revision - 1 - agent->index % old;
}

void send_hello(struct agent *agent) {
  uint8_t hello[256], part[64], inner[64], name[64], *at = hello, *end;
  uint8_t message[300];
  uint64_t revision = claimed_revision(agent);

  end = put_text(at, 1, (snprintf((char *)name, sizeof name, "%s%d", options.prefix, agent->index), (char *)name));
  at = put_fixed64(end, 2, 0x77656674000000ULL + agent->index + 1);
  if (revision) {
    end = put_fixed32(put_number(inner, 1, agent->epoch.created_ms), 2, agent->epoch.random);
    end = put_number(put_bytes(part, 1, inner, end - inner), 2, revision);
    at = put_bytes(at, 3, part, end - part);
    at = put_fixed64(at, 4, agent->claim == CLAIM_OLD ? 0 : digest_of(revision));
  }
  /* 10.x.y.z */
  uint8_t address[4] = {10, agent->index >> 16, agent->index >> 8, agent->index};
  end = put_bytes(part, 1, address, 4);
  at = put_bytes(at, 5, part, end - part);
  if (revision) at = put_counts(at, 6);
  end = put_text(put_text(put_text(part, 1, "load"), 2, "6.18"), 3, "memory");
  at = put_bytes(at, 7, part, end - part);
  at = put_number(at, 8, 1);
  end = put_bytes(message, 1, hello, at - hello);
  send_message(agent, message, end - message);
}

void send_ack(struct agent *agent) {
  uint8_t ack[128], durations[32], message[160], *at = ack, *end;
  uint64_t digest = digest_of(agent->revision);
  struct timespec now;

  clock_gettime(CLOCK_REALTIME, &now);
  at = put_number(at, 1, agent->revision);
  at = put_number(at, 2, now.tv_sec * 1000000ULL + now.tv_nsec / 1000);
  end = put_number(put_number(put_number(put_number(durations, 1, 700), 2, 150), 3, 200), 4, 300);
  at = put_bytes(at, 3, durations, end - durations);
  at = put_fixed64(at, 6, digest);
  at = put_number(at, 7, agent->heartbeat);
  /* Without either the control plane compares nothing. */
  if (digest || !agent->revision) at = put_counts(at, 9);
  agent->heartbeat = 0;
  end = put_bytes(message, 2, ack, at - ack);
  counts.acks++;
  send_message(agent, message, end - message);
}

/* --- reading --- */

struct reader {
  const uint8_t *at, *end;
  /* Of the field that was read last. `number` of VARINT, FIXED32 and FIXED64; `bytes` of BYTES, maybe cut. */
  int field;
  enum wire wire;
  uint64_t number;
  const uint8_t *bytes;
  size_t length;
};

static uint64_t read_varint(struct reader *reader) {
  uint64_t value = 0;

  for (int shift = 0; reader->at < reader->end && shift < 64; shift += 7) {
    uint8_t byte = *reader->at++;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) break;
  }
  return value;
}

static bool next_field(struct reader *reader) {
  uint64_t tag;
  size_t left;

  if (reader->at >= reader->end) return false;
  tag = read_varint(reader);
  reader->field = tag >> 3;
  reader->wire = tag & 7;
  reader->number = 0;
  left = reader->end - reader->at;
  switch (reader->wire) {
    case VARINT:
      reader->number = read_varint(reader);
      return true;
    case FIXED64:
    case FIXED32: {
      size_t size = reader->wire == FIXED64 ? 8 : 4;
      if (left < size) return false;
      memcpy(&reader->number, reader->at, size);
      reader->at += size;
      return true;
    }
    case BYTES:
      reader->length = read_varint(reader);
      left = reader->end - reader->at;
      reader->bytes = reader->at;
      if (reader->length > left) reader->length = left;
      reader->at += reader->length;
      return true;
  }
  fail("a message with wire type %d", reader->wire);
}

static struct reader inside(const struct reader *outer) {
  return (struct reader){.at = outer->bytes, .end = outer->bytes + outer->length};
}

static void read_welcome(struct agent *agent, struct reader welcome) {
  while (next_field(&welcome)) {
    if (welcome.field != 1) continue;
    for (struct reader epoch = inside(&welcome); next_field(&epoch);) {
      if (epoch.field == 1) agent->welcomed.created_ms = epoch.number;
      if (epoch.field == 2) agent->welcomed.random = epoch.number;
    }
  }
}

struct delta {
  uint64_t from, to;
  uint32_t part, parts;
  bool is_snapshot;
};

static struct delta read_delta_header(struct reader reader) {
  struct delta delta = {.is_snapshot = true};

  while (next_field(&reader)) {
    if (reader.field == 1) delta.from = reader.number, delta.is_snapshot = false;
    if (reader.field == 2) delta.to = reader.number;
    if (reader.field == 3) delta.part = reader.number;
    if (reader.field == 4) delta.parts = reader.number;
    if (reader.field > 7) break;
  }
  if (!delta.parts) delta.parts = 1;
  return delta;
}

static void store_operations(struct reader reader) {
  while (next_field(&reader)) {
    if (reader.field == 8)
      for (size_t at = 0; at + 8 <= reader.length; at += 8) {
        uint64_t id;
        memcpy(&id, reader.bytes + at, 8);
        store_remove(id);
      }
    if (reader.field == 9) store_put(reader.bytes, reader.length);
  }
}

static bool is_news(const struct delta *delta) {
  return delta->to > store_revision() && (delta->is_snapshot || delta->from <= store_revision());
}

static void keep_part(struct reader reader) {
  uint32_t length = reader.end - reader.at;

  kept.bytes = realloc(kept.bytes, kept.length + sizeof length + length);
  if (!kept.bytes) fail("out of memory");
  memcpy(kept.bytes + kept.length, &length, sizeof length);
  memcpy(kept.bytes + kept.length + sizeof length, reader.at, length);
  kept.length += sizeof length + length;
}

static void store_kept(void) {
  uint32_t length;

  for (size_t at = 0; at < kept.length; at += sizeof length + length) {
    uint8_t *part = kept.bytes + at + sizeof length;
    memcpy(&length, kept.bytes + at, sizeof length);
    store_operations((struct reader){.at = part, .end = part + length});
  }
}

/* One agent keeps the books for all: the first that has a newer revision whole. Of several parts none is stored before the last has
 * come: others may bring a revision in between. */
static void store_delta(struct agent *agent, const struct delta *delta, struct reader reader, bool is_whole) {
  bool is_last = delta->part + 1 == delta->parts, is_several = delta->parts > 1;

  if (!is_whole || !is_news(delta)) return;
  if (is_several) {
    if (!keeper && delta->part == 0) keeper = agent;
    if (keeper != agent || delta->part != keeper_part) return;
    keep_part(reader);
    keeper_part++;
    if (!is_last) return;
  }
  if (delta->is_snapshot) store_begin();
  if (is_several) store_kept();
  else store_operations(reader);
  store_commit(delta->to);
}

/* What waited for the digest is acked, with or without it. */
static void release_keeper(void) {
  keeper = NULL;
  keeper_part = 0;
  kept.length = 0;
  digest_is_known();
}

static void read_delta(struct agent *agent, struct reader reader, bool is_whole) {
  struct delta delta = read_delta_header(reader);

  agent_sees(agent, delta.to);
  if (!delta.is_snapshot && delta.from != agent->revision)
    fail("agent %d runs %ju and was sent a delta from %ju", agent->index, (uintmax_t)agent->revision,
         (uintmax_t)delta.from);
  store_delta(agent, &delta, reader, is_whole);
  if (delta.part + 1 < delta.parts) return;
  if (keeper == agent) release_keeper();
  agent_reached(agent, delta.to);
}

static void read_heartbeat(struct agent *agent, struct reader reader) {
  while (next_field(&reader))
    if (reader.field == 1) agent->heartbeat = reader.number;
  counts.heartbeats++;
  send_ack(agent);
}

static void read_synced(struct agent *agent, uint64_t revision) {
  bool is_same = agent->welcomed.created_ms == agent->epoch.created_ms && agent->welcomed.random == agent->epoch.random;

  if (!is_same && agent->revision) agent_moved(agent, revision);
  else if (revision > agent->revision) agent_reached(agent, revision);
}

static uint32_t read_retry_after(struct reader goaway) {
  while (next_field(&goaway))
    if (goaway.field == 2) return goaway.number;
  return 0;
}

void read_message(struct agent *agent, const uint8_t *bytes, size_t length, bool is_whole) {
  struct reader reader = {.at = bytes, .end = bytes + length};

  while (agent->fd >= 0 && next_field(&reader)) switch (reader.field) {
      case 1:
        read_welcome(agent, inside(&reader));
        send_ack(agent);
        break;
      case 3:
        read_delta(agent, inside(&reader), is_whole);
        break;
      case 4: {
        struct reader synced = inside(&reader);
        if (next_field(&synced)) read_synced(agent, synced.number);
        agent_is_up(agent);
        break;
      }
      case 5:
        read_heartbeat(agent, inside(&reader));
        break;
      case 6:
        fail("agent %d was asked for digests, which this program cannot give", agent->index);
      case 7:
        agent_told_to_leave(agent, read_retry_after(inside(&reader)));
        break;
    }
}

bool is_digest_coming(uint64_t revision) { return keeper && revision > store_revision(); }

void forget_keeper(struct agent *agent) {
  if (keeper == agent) release_keeper();
}

uint32_t message_kept(struct agent *agent, uint32_t length) {
  if (length <= MESSAGE_KEPT_MAX) return length;
  if (!keeper) keeper = agent;
  return keeper == agent ? length : MESSAGE_KEPT_MAX;
}

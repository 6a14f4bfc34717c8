/* SPDX-License-Identifier: Apache-2.0 */
/* As much of HTTP/2 (RFC 9113) as one stream of a well-behaved gRPC client needs. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum frame { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum flag { ACK = 1, END_STREAM = 1, END_HEADERS = 4, PADDED = 8 };
enum setting { ENABLE_PUSH = 2, INITIAL_WINDOW_SIZE = 4 };

#define STREAM 1
#define DEFAULT_WINDOW 65535

/* Keeps what the socket does not take. */
static void send_bytes(struct agent *agent, const uint8_t *bytes, size_t length) {
  ssize_t sent = 0;

  if (agent->fd < 0) return;
  if (!agent->unsent_length) {
    sent = transport_send(agent, bytes, length);
    if (sent < 0 && errno != EAGAIN) return agent_lost(agent, strerror(errno));
    if (sent < 0) sent = 0;
  }
  if ((size_t)sent == length) return;
  agent->unsent = realloc(agent->unsent, agent->unsent_length + length - sent);
  if (!agent->unsent) fail("out of memory");
  memcpy(agent->unsent + agent->unsent_length, bytes + sent, length - sent);
  agent->unsent_length += length - sent;
}

void flush(struct agent *agent) {
  ssize_t sent;

  if (!agent->unsent_length) return;
  sent = transport_send(agent, agent->unsent, agent->unsent_length);
  if (sent < 0 && errno == EAGAIN) return;
  if (sent < 0) return agent_lost(agent, strerror(errno));
  agent->unsent_length -= sent;
  memmove(agent->unsent, agent->unsent + sent, agent->unsent_length);
}

static uint8_t *put_u32(uint8_t *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, 4);
  return at + 4;
}

static uint8_t *put_frame(uint8_t *at, uint32_t length, enum frame type, uint8_t flags, uint32_t stream) {
  *at++ = length >> 16;
  *at++ = length >> 8;
  *at++ = length;
  *at++ = type;
  *at++ = flags;
  return put_u32(at, stream);
}

static uint8_t *put_setting(uint8_t *at, enum setting setting, uint32_t value) {
  *at++ = setting >> 8;
  *at++ = setting;
  return put_u32(at, value);
}

static uint8_t *put_text(uint8_t *at, const char *text) {
  size_t length = strlen(text);

  *at++ = length; /* below 127, without Huffman */
  memcpy(at, text, length);
  return at + length;
}

/* A literal without indexing (RFC 7541, 6.2.2), its name by text. */
static uint8_t *put_header(uint8_t *at, const char *name, const char *value) {
  *at++ = 0;
  return put_text(put_text(at, name), value);
}

static uint8_t *put_window_update(uint8_t *at, uint32_t stream, uint32_t by) {
  return put_u32(put_frame(at, 4, WINDOW_UPDATE, 0, stream), by);
}

void send_preface(struct agent *agent) {
  static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  uint8_t bytes[512], *at = bytes, *headers;

  if (options.is_tcp) return;
  memcpy(at, preface, sizeof preface - 1);
  at += sizeof preface - 1;
  at = put_frame(at, 12, SETTINGS, 0, 0);
  at = put_setting(at, ENABLE_PUSH, 0);
  at = put_setting(at, INITIAL_WINDOW_SIZE, options.window);
  at = put_window_update(at, 0, options.window - DEFAULT_WINDOW);
  headers = at;
  at = put_frame(at, 0, HEADERS, END_HEADERS, STREAM);
  at = put_header(at, ":method", "POST");
  at = put_header(at, ":scheme", "http");
  at = put_header(at, ":path", "/weft.discovery.v1.DiscoveryService/Sync");
  at = put_header(at, ":authority", "controlplane");
  at = put_header(at, "content-type", "application/grpc");
  at = put_header(at, "te", "trailers");
  at = put_header(at, "user-agent", "weft-bench-load");
  put_frame(headers, at - headers - FRAME_HEADER, HEADERS, END_HEADERS, STREAM);
  send_bytes(agent, bytes, at - bytes);
}

void send_message(struct agent *agent, const uint8_t *message, size_t length) {
  uint8_t bytes[512], *at = bytes;

  if (length > sizeof bytes - FRAME_HEADER - MESSAGE_HEADER) fail("a message of %zu bytes", length);
  if (!options.is_tcp) at = put_frame(at, MESSAGE_HEADER + length, DATA, 0, STREAM);
  *at++ = 0; /* not compressed */
  at = put_u32(at, length);
  memcpy(at, message, length);
  at += length;
  counts.sent_data_bytes += at - bytes;
  send_bytes(agent, bytes, at - bytes);
}

static void end_message(struct agent *agent) {
  agent->message_header_got = 0;
  free(agent->message);
  agent->message = NULL;
}

static void receive_data(struct agent *agent, const uint8_t *bytes, size_t length) {
  while (length > 0 && agent->fd >= 0) {
    uint32_t taken, kept;

    if (agent->message_header_got < MESSAGE_HEADER) {
      agent->message_header[agent->message_header_got++] = *bytes++;
      length--;
      if (agent->message_header_got < MESSAGE_HEADER) continue;
      memcpy(&agent->message_length, agent->message_header + 1, 4);
      agent->message_length = ntohl(agent->message_length);
      agent->message_got = 0;
      agent->message_kept_max = message_kept(agent, agent->message_length);
    }
    /* What came whole, as almost all small messages do, is read where it is. */
    if (agent->message_got == 0 && length >= agent->message_length) {
      taken = agent->message_length;
      counts.messages++;
      agent->message_header_got = 0;
      read_message(agent, bytes, taken, true);
    } else {
      taken = agent->message_length - agent->message_got;
      if (taken > length) taken = length;
      if (!agent->message && !(agent->message = malloc(agent->message_kept_max))) fail("out of memory");
      if (agent->message_got < agent->message_kept_max) {
        kept = agent->message_kept_max - agent->message_got;
        memcpy(agent->message + agent->message_got, bytes, kept < taken ? kept : taken);
      }
      agent->message_got += taken;
      if (agent->message_got == agent->message_length) {
        kept = agent->message_kept_max < agent->message_length ? agent->message_kept_max : agent->message_length;
        counts.messages++;
        read_message(agent, agent->message, kept, kept == agent->message_length);
        end_message(agent);
      }
    }
    bytes += taken;
    length -= taken;
  }
}

/* Opens the windows again by what was read, once half of one is used up. */
static void acknowledge_data(struct agent *agent, uint32_t length) {
  uint8_t bytes[2 * (FRAME_HEADER + 4)];

  agent->unacknowledged += length;
  if (agent->unacknowledged < options.window / 2) return;
  put_window_update(put_window_update(bytes, STREAM, agent->unacknowledged), 0, agent->unacknowledged);
  agent->unacknowledged = 0;
  send_bytes(agent, bytes, sizeof bytes);
}

static void receive_control(struct agent *agent, enum frame type, uint8_t flags) {
  uint8_t bytes[FRAME_HEADER + 8];

  switch (type) {
    case SETTINGS:
      if (!(flags & ACK)) send_bytes(agent, bytes, put_frame(bytes, 0, SETTINGS, ACK, 0) - bytes);
      return;
    case PING:
      if (flags & ACK) return;
      memcpy(put_frame(bytes, 8, PING, ACK, 0), agent->control, 8);
      return send_bytes(agent, bytes, sizeof bytes);
    case HEADERS:
      if (flags & END_STREAM) agent_lost(agent, "the stream was ended");
      return;
    case RST_STREAM:
      return agent_lost(agent, "the stream was reset");
    case GOAWAY:
      return agent_lost(agent, "the connection was ended");
    default:
      return;
  }
}

static void receive_frames(struct agent *agent, const uint8_t *bytes, size_t length) {
  /* A frame without payload is complete with its header. */
  while (agent->fd >= 0) {
    const uint8_t *header = agent->frame_header;
    uint32_t taken;

    if (agent->frame_header_got < FRAME_HEADER) {
      taken = FRAME_HEADER - agent->frame_header_got;
      if (taken > length) taken = length;
      memcpy(agent->frame_header + agent->frame_header_got, bytes, taken);
      agent->frame_header_got += taken;
      bytes += taken;
      length -= taken;
      if (agent->frame_header_got < FRAME_HEADER) return;
      agent->frame_length = header[0] << 16 | header[1] << 8 | header[2];
      agent->frame_got = 0;
      if (header[3] == DATA) counts.data_bytes += FRAME_HEADER + agent->frame_length;
      if (header[3] == DATA && (header[4] & PADDED)) fail("padded DATA");
    }
    taken = agent->frame_length - agent->frame_got;
    if (taken > length) taken = length;
    if (taken == 0 && agent->frame_got < agent->frame_length) return;
    if (header[3] == DATA) {
      receive_data(agent, bytes, taken);
      acknowledge_data(agent, taken);
    } else {
      for (uint32_t i = 0; i < taken && agent->frame_got + i < CONTROL_FRAME_MAX; i++)
        agent->control[agent->frame_got + i] = bytes[i];
    }
    agent->frame_got += taken;
    bytes += taken;
    length -= taken;
    if (agent->frame_got < agent->frame_length) return;
    agent->frame_header_got = 0;
    if (header[3] != DATA) receive_control(agent, header[3], header[4]);
    else if (header[4] & END_STREAM) agent_lost(agent, "the stream was ended");
  }
}

void receive(struct agent *agent, const uint8_t *bytes, size_t length) {
  counts.bytes += length;
  if (!options.is_tcp) return receive_frames(agent, bytes, length);
  counts.data_bytes += length;
  receive_data(agent, bytes, length);
}

void forget_connection(struct agent *agent) {
  end_message(agent);
  free(agent->unsent);
  agent->unsent = NULL;
  agent->unsent_length = 0;
  agent->frame_header_got = 0;
  agent->unacknowledged = 0;
}

/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Packets of sockets that went through a frontend: their source, which only they tell, and whether a connected UDP socket's
 * backend left. Attached only while there is something of that to check. A dropped SYN makes connect() time out, a dropped
 * datagram makes send() fail with EPERM.
 */
#ifndef WEFT_HOOKS_EGRESS_H
#define WEFT_HOOKS_EGRESS_H

#include <linux/if_ether.h>

#include "../socket.h"

#define IPV4_BYTES 20
#define IPV6_BYTES 40

struct packet {
  struct address source;
  struct target destination;
};

/* Data begins at the network header. False: not one of TCP or UDP, or one with IPv6 extension headers. */
static __always_inline bool read_packet(struct __sk_buff *skb, __u8 protocol, struct packet *packet) {
  __u8 first, next;
  __u32 ports;

  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    if (bpf_skb_load_bytes(skb, 0, &first, 1) || bpf_skb_load_bytes(skb, 9, &next, 1)) return false;
    if (bpf_skb_load_bytes(skb, 12, &packet->source.part[3], 4)) return false;
    if (bpf_skb_load_bytes(skb, 16, &packet->destination.address.part[3], 4)) return false;
    packet->source.part[2] = packet->destination.address.part[2] = bpf_htonl(0xffff);
    ports = (first & 15) * 4;
  } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
    if (bpf_skb_load_bytes(skb, 6, &next, 1)) return false;
    if (bpf_skb_load_bytes(skb, 8, &packet->source, 16)) return false;
    if (bpf_skb_load_bytes(skb, 24, &packet->destination.address, 16)) return false;
    ports = IPV6_BYTES;
  } else {
    return false;
  }
  return next == protocol && !bpf_skb_load_bytes(skb, ports + 2, &packet->destination.port, 2);
}

static __always_inline bool find_now(const struct target *frontend, __u8 protocol, struct found *found) {
  struct frontend_key key = {
      .address = frontend->address, .port = frontend->port, .protocol = protocol, .scope = SCOPE_INTERNAL};

  return find_frontend(&key, read_active(), found);
}

/* A frontend that is gone allows nobody: it was guarded. */
static __always_inline bool is_source_allowed(const struct target *frontend, __u8 protocol, const struct packet *packet) {
  struct found found = {};

  if (!find_now(frontend, protocol, &found)) return false;
  return judge_source(&found.descriptor, &packet->source) == SOURCE_ALLOWED;
}

/* A TCP connection outlives its backend's place in the set; a connected UDP socket cannot be sent elsewhere, so it ends. */
static __always_inline bool is_backend_left(struct connection *connection, const struct found *found) {
  if (!connection->is_counted || connection->word == found->word) return false;
  if (found->descriptor.action != ACTION_FORWARD) return true;
  if (!is_eligible(&found->descriptor, &connection->backend, connection->backend_port)) return true;
  connection->word = found->word;
  return false;
}

static __always_inline bool is_connection_allowed(struct connection *connection, __u8 protocol,
                                                  const struct packet *packet) {
  struct target frontend = {.address = connection->frontend, .port = connection->frontend_port};
  struct found found = {};

  if (connection->backend_port != packet->destination.port) return true;
  if (!is_same_address(&connection->backend, &packet->destination.address)) return true;
  if (!find_now(&frontend, protocol, &found)) return false;
  if (is_backend_left(connection, &found)) return false;
  if (!connection->is_unjudged) return true;
  if (judge_source(&found.descriptor, &packet->source) != SOURCE_ALLOWED) return false;
  /* Its source stays: once is enough. */
  connection->is_unjudged = 0;
  return true;
}

static __always_inline bool is_datagram_allowed(struct __sk_buff *skb, const struct packet *packet) {
  struct target frontend;

  if (!recall_reverse(bpf_get_socket_cookie(skb), &packet->destination, &frontend)) return true;
  return is_source_allowed(&frontend, IPPROTO_UDP, packet);
}

static __always_inline int egress(struct __sk_buff *skb) {
  struct bpf_sock *socket = skb->sk;
  struct connection *connection;
  struct packet packet = {};
  bool is_checked, is_guarded;

  if (!socket) return PASS;
  socket = bpf_sk_fullsock(socket);
  if (!socket) return PASS;
  connection = bpf_sk_storage_get(&connections, socket, NULL, 0);
  is_checked = connection && (connection->is_unjudged || connection->is_counted);
  is_guarded = socket->protocol == IPPROTO_UDP && bpf_sk_storage_get(&guarded_senders, socket, NULL, 0);
  if (!is_checked && !is_guarded) return PASS;
  /* Extension headers are no way around a guard. */
  if (!read_packet(skb, socket->protocol, &packet))
    return is_guarded || connection->is_unjudged ? REFUSE : PASS;
  if (is_checked && !is_connection_allowed(connection, socket->protocol, &packet)) return REFUSE;
  if (is_guarded && !is_datagram_allowed(skb, &packet)) return REFUSE;
  return PASS;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Connected sockets: what each asked for and got, and how many UDP ones there are by frontend and backend. The counts tell the
 * agent whether sockets are left whose backend is gone; two pairs may share one, which makes it check packets a little too long.
 */
#ifndef WEFT_PEER_H
#define WEFT_PEER_H

#include "flow.h"

#define HASH_START 2166136261U
#define HASH_STEP 16777619U

static __always_inline __u32 hash_end(__u32 hash, const struct address *address, __be16 port) {
#pragma unroll
  for (int i = 0; i < 4; i++) hash = (hash ^ address->part[i]) * HASH_STEP;
  return (hash ^ port) * HASH_STEP;
}

/* nodeagent/dataplane/kernel/left-peers.ts computes the same. */
static __always_inline __u32 slot_of_peer(const struct connection *connection) {
  __u32 hash = hash_end(HASH_START, &connection->frontend, connection->frontend_port);

  hash = hash_end(hash, &connection->backend, connection->backend_port);
  return (hash ^ (hash >> 16)) % WEFT_UDP_PEERS;
}

static __always_inline void count_peer(const struct connection *connection, __u32 change) {
  __u32 slot = slot_of_peer(connection);
  struct udp_peer *peer = bpf_map_lookup_elem(&udp_peers, &slot);

  if (peer) __sync_fetch_and_add(&peer->sockets, change);
}

/* Its socket is about to end or to connect again. */
static __always_inline void uncount_connection(const struct connection *connection) {
  if (connection->is_counted) count_peer(connection, -1U);
}

#endif

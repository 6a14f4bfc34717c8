/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * TCP connections in an array instead of storage of their sockets, which costs two allocations and their freeing: 0.3 to 0.5 us
 * of a connect(). A socket has its slot from connect() to close(). Sockets of the kernel and of MPTCP run no sock_release hook: their
 * slots stay taken, and whom that hits has storage as before.
 */
#ifndef WEFT_SLOT_H
#define WEFT_SLOT_H

#include "flow-maps.h"
#include "read.h"

static __always_inline struct connection_slot *slot_of(__u64 cookie) {
  __u32 index = cookie % WEFT_CONNECTION_SLOTS;

  return bpf_map_lookup_elem(&connection_slots, &index);
}

/* NULL: this socket has none. */
static __always_inline struct connection_slot *own_slot(__u64 cookie) {
  struct connection_slot *slot = slot_of(cookie);

  return slot && READ(slot->owner) == cookie ? slot : NULL;
}

/* False: another socket has it. */
static __always_inline bool take_slot(__u64 cookie, const struct connection *connection) {
  struct connection_slot *slot = slot_of(cookie);

  if (!slot || __sync_val_compare_and_swap(&slot->owner, 0, cookie)) return false;
  slot->connection = *connection;
  return true;
}

static __always_inline void free_slot(__u64 cookie) {
  struct connection_slot *slot = own_slot(cookie);

  if (slot) *(volatile __u64 *)&slot->owner = 0;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* bind() of host processes: an allocated NodePort is not theirs, since connections to it would not reach them. */
#ifndef WEFT_HOOKS_POST_BIND_H
#define WEFT_HOOKS_POST_BIND_H

#include "../socket.h"

#define EADDRINUSE 98

/* For the agent's log. The number is written last: an entry without its number is not complete. */
static __always_inline void report_bind(__u32 name_index, __u16 port, __u8 protocol) {
  const struct name *name = bpf_map_lookup_elem(&names, &name_index);
  __u32 zero = 0, slot;
  __u64 number, *count = bpf_map_lookup_elem(&refused_binds_count, &zero);
  struct refused_bind *entry;

  if (!name || !count) return;
  number = __sync_fetch_and_add(count, 1) + 1;
  slot = number % WEFT_REFUSED_BINDS;
  entry = bpf_map_lookup_elem(&refused_binds, &slot);
  if (!entry) return;
  entry->service_port = name->id;
  entry->name = name_index;
  entry->pid = bpf_get_current_pid_tgid() >> 32;
  entry->port = port;
  entry->protocol = protocol;
  bpf_get_current_comm(entry->command, sizeof(entry->command));
  barrier();
  *(volatile __u64 *)&entry->number = number;
}

static __always_inline bool is_node_port(const struct address *address, __u16 port, __u8 protocol) {
  struct frontend_key key = {
      .address = *address, .port = bpf_htons(port), .protocol = protocol, .scope = SCOPE_INTERNAL};
  struct found found = {};

  return find_frontend(&key, read_active(), &found) && found.descriptor.kind == KIND_NODE_PORT;
}

static __always_inline bool is_in_host(struct bpf_sock *socket) {
  __u32 zero = 0;
  const struct settings *at = bpf_map_lookup_elem(&settings, &zero);

  return at && bpf_get_netns_cookie(socket) == at->host_netns_cookie;
}

/* A bind to any address takes the port on all of them. `address` is NULL then. */
static __always_inline int guard_bind(struct bpf_sock *socket, const struct address *address) {
  __u32 protocol = socket->protocol, port = socket->src_port & 0xffff, slot = port, name;
  const struct node_port *at;

  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return PASS;
  if (protocol == IPPROTO_UDP) slot += WEFT_PORTS;
  at = bpf_map_lookup_elem(&node_ports, &slot);
  if (!at) return PASS;
  name = READ(at->name);
  if (!name || !is_in_host(socket)) return PASS;
  if (address && !is_node_port(address, port, protocol)) return PASS;
  report_bind(name, port, protocol);
  bpf_set_retval(-EADDRINUSE);
  return REFUSE;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the agent and the programs share. Padding is explicit and always zero: keys are compared and hashed as bytes. */
#ifndef WEFT_TYPES_H
#define WEFT_TYPES_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "limits.h"

/* Network order; IPv4 is v4-mapped. Aligned to 4, as the fields of bpf_sock_addr are. */
struct address {
  __be32 part[4];
};
_Static_assert(sizeof(struct address) == 16, "address");

enum scope {
  SCOPE_INTERNAL = 0, /* from pods and the node */
  SCOPE_EXTERNAL = 1, /* arrives on a device */
};

struct frontend_key {
  struct address address;
  __be16 port;
  __u8 protocol; /* IPPROTO_* */
  __u8 scope;    /* enum scope */
};
_Static_assert(sizeof(struct frontend_key) == 20, "frontend_key");

struct cidr_key {
  __u32 length; /* bits; an IPv4 range counts the 96 bits before it */
  struct address address;
};
_Static_assert(sizeof(struct cidr_key) == 20, "cidr_key");

struct range_key {
  __u32 length; /* bits, those of the set included; an IPv4 range counts the 96 bits before it */
  __u32 set;
  struct address address;
};
_Static_assert(sizeof(struct range_key) == 24, "range_key");

/* A state of an address has port, protocol and scope 0; that of a CIDR has its length in `length`. */
struct state {
  struct frontend_key key;
  __u32 length;
  __u64 word[2]; /* sequence << WEFT_DESCRIPTOR_BITS | descriptor */
};
_Static_assert(sizeof(struct state) == 40, "state");

enum action {
  ACTION_NONE = 0,
  ACTION_FORWARD = 1,
  ACTION_REJECT = 2,
  ACTION_DROP = 3,
  ACTION_PASS = 4, /* of an address: what is no frontend there is not ours */
};

enum kind {
  KIND_NONE = 0,
  KIND_CLUSTER_IP = 1,
  KIND_NODE_PORT = 2,
  KIND_EXTERNAL_IP = 3,
  KIND_LOAD_BALANCER_IP = 4,
};

/* Immutable while a reader can reach it. */
struct descriptor {
  __u32 backends_base;
  __u32 backends_count;
  __u8 action; /* enum action */
  __u8 kind;   /* enum kind */
  __u16 flags;
  __u32 affinity_seconds; /* 0: none */
  __u32 range_set;        /* 0: every source is allowed */
  __u32 name;             /* index in names; 0: none */
  __u64 revision;         /* that made it */
};
_Static_assert(sizeof(struct descriptor) == 32, "descriptor");

/* Immutable while a reader can reach it. A range is sorted by (address, port), both as bytes. */
struct backend {
  struct address address;
  __be16 port;
  __u16 flags;
  __u32 reserved;
};
_Static_assert(sizeof(struct backend) == 24, "backend");

#define WEFT_NAME_BYTES 192 /* 63 + 1 + 63 + 1 + 63, rounded up */

struct name {
  __u64 id; /* of the service port, from its name: the same in all maps */
  __u16 length;
  __u16 reserved[3];
  char text[WEFT_NAME_BYTES]; /* "ns/name:port" */
};
_Static_assert(sizeof(struct name) == 208, "name");

struct activation {
  __u64 sequence;
  __u64 epoch_ms;
  __u32 epoch_random;
  __u32 reserved;
  __u64 revision;
};
_Static_assert(sizeof(struct activation) == 32, "activation");

struct settings {
  __u64 host_netns_cookie;
  __be16 probe_port; /* where the probe frontend leads on loopback; 0: there is no probe */
  __u16 reserved[3];
};
_Static_assert(sizeof(struct settings) == 16, "settings");

/* 8 bytes: the elements of a mapped array are that far apart at least. */
struct node_port {
  __u32 name; /* of the service port that it is allocated to, index in names; 0: none */
  __u32 reserved;
};
_Static_assert(sizeof(struct node_port) == 8, "node_port");

struct refused_bind {
  __u64 number;       /* of the refusal, from 1; written last */
  __u64 service_port; /* id of the name */
  __u32 name;         /* index in names */
  __u32 pid;
  __u16 port;
  __u8 protocol;
  __u8 reserved[5];
  char command[16];
};
_Static_assert(sizeof(struct refused_bind) == 48, "refused_bind");

struct udp_flow_key {
  __u64 cookie; /* of the socket */
  struct frontend_key frontend;
  __u32 reserved;
};
_Static_assert(sizeof(struct udp_flow_key) == 32, "udp_flow_key");

/* Holds its key again: elements of an LRU map are recycled without a grace. */
struct udp_flow {
  struct udp_flow_key key;
  __u64 word; /* it was chosen under */
  struct address address;
  __be16 port;
  __u16 reserved[3];
  __u64 last_use_ns; /* the only field written in place */
};
_Static_assert(sizeof(struct udp_flow) == 72, "udp_flow");

struct reverse_flow_key {
  __u64 cookie;
  struct address backend;
  __be16 port;
  __u16 reserved[3];
};
_Static_assert(sizeof(struct reverse_flow_key) == 32, "reverse_flow_key");

struct reverse_flow {
  struct reverse_flow_key key;
  struct address frontend;
  __be16 port;
  __u16 reserved[3];
};
_Static_assert(sizeof(struct reverse_flow) == 56, "reverse_flow");

struct affinity_key {
  __u64 client;       /* cookie of a network namespace */
  __u64 service_port; /* its id */
  __u32 family;       /* 4 or 6 */
  __u32 reserved;
};
_Static_assert(sizeof(struct affinity_key) == 24, "affinity_key");

/* Holds its key again, as udp_flow does. */
struct affinity_flow {
  struct affinity_key key;
  __u64 word; /* it was chosen under */
  struct address address;
  __be16 port;
  __u16 reserved[3];
  __u64 last_use_ns; /* the only field written in place */
};
_Static_assert(sizeof(struct affinity_flow) == 64, "affinity_flow");

/* What a connected socket asked for, and where it was sent. */
struct connection {
  struct address frontend;
  struct address backend;
  __be16 frontend_port;
  __be16 backend_port;
  __u8 is_unjudged; /* the frontend has source ranges, and the source is not known yet; written in place */
  __u8 is_counted;  /* in udp_peers */
  __u16 reserved;
  __u64 word; /* it was chosen under; written in place */
};
_Static_assert(sizeof(struct connection) == 48, "connection");

/* A cache line. Only the socket that owns it reads or writes more than `owner`: under its lock, or when it ends. */
struct connection_slot {
  __u64 owner; /* cookie of the socket; 0: free */
  struct connection connection;
  __u64 reserved;
};
_Static_assert(sizeof(struct connection_slot) == 64, "connection_slot");

struct udp_peer {
  __u32 sockets; /* connected through a frontend to a backend of this slot */
  __u32 is_left; /* written by the agent: such a frontend lost such a backend */
};
_Static_assert(sizeof(struct udp_peer) == 8, "udp_peer");

#endif

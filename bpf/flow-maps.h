/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* State of flows. It outlives the service maps: its layout has a version of its own. */
#ifndef WEFT_FLOW_MAPS_H
#define WEFT_FLOW_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "types.h"

/* (unconnected UDP socket, frontend) -> the backend it keeps */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, WEFT_UDP_FLOWS_MAX);
  __type(key, struct udp_flow_key);
  __type(value, struct udp_flow);
} udp_flows SEC(".maps");

/* (UDP socket, backend) -> the last frontend it used for that backend */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, WEFT_REVERSE_FLOWS_MAX);
  __type(key, struct reverse_flow_key);
  __type(value, struct reverse_flow);
} reverse_flows SEC(".maps");

/* (client, service port, family) -> the backend it keeps */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, WEFT_AFFINITY_FLOWS_MAX);
  __type(key, struct affinity_key);
  __type(value, struct affinity_flow);
} affinity_flows SEC(".maps");

/* cookie % WEFT_CONNECTION_SLOTS -> what a connected TCP socket asked for; if another socket has the slot, `connections` says it */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEFT_CONNECTION_SLOTS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct connection_slot);
} connection_slots SEC(".maps");

/* connected socket -> what it asked for */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct connection);
} connections SEC(".maps");

/* hash of a frontend and a backend -> how many UDP sockets are connected so */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEFT_UDP_PEERS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct udp_peer);
} udp_peers SEC(".maps");

/* unconnected UDP socket that sends to a frontend with source ranges */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u64);
} guarded_senders SEC(".maps");

#endif

// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The socket path: every hook of a cgroup, one object so that they share the maps.
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

#include "hooks/connect.h"
#include "hooks/egress.h"
#include "hooks/getpeername.h"
#include "hooks/post_bind.h"
#include "hooks/recvmsg.h"
#include "hooks/sendmsg.h"
#include "hooks/sock_release.h"

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *call) {
  struct target target = read_target4(call);
  struct address source;
  int verdict;

  if (!is_served(call)) return PASS;
  source = read_bound4(call);
  verdict = connect(call, &target, &source);
  if (!verdict) write_target4(call, &target);
  return finish(verdict);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *call) {
  struct target target = read_target6(call);
  struct address source;
  int verdict;

  if (!is_served(call)) return PASS;
  source = read_bound6(call);
  verdict = connect(call, &target, &source);
  if (!verdict) write_target6(call, &target);
  return finish(verdict);
}

/* Also an IPv6 socket's sendto() to a v4-mapped address. */
SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *call) {
  struct target target = read_target4(call);
  struct address source = {.part = {0, 0, bpf_htonl(0xffff), 0}};
  int verdict;

  if (!is_served(call)) return PASS;
  source.part[3] = call->msg_src_ip4;
  verdict = sendmsg(call, &target, &source);
  if (!verdict) write_target4(call, &target);
  return finish(verdict);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *call) {
  struct target target = read_target6(call);
  struct address source = {};
  int verdict;

  if (!is_served(call)) return PASS;
  source.part[0] = call->msg_src_ip6[0];
  source.part[1] = call->msg_src_ip6[1];
  source.part[2] = call->msg_src_ip6[2];
  source.part[3] = call->msg_src_ip6[3];
  verdict = sendmsg(call, &target, &source);
  if (!verdict) write_target6(call, &target);
  return finish(verdict);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *call) {
  struct target source = read_target4(call);

  if (is_served(call) && recvmsg(call, &source)) write_target4(call, &source);
  return PASS;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *call) {
  struct target source = read_target6(call);

  if (is_served(call) && recvmsg(call, &source)) write_target6(call, &source);
  return PASS;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *call) {
  struct target peer = read_target4(call);

  if (is_served(call) && recall_connection(call, &peer)) write_target4(call, &peer);
  return PASS;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *call) {
  struct target peer = read_target6(call);

  if (is_served(call) && recall_connection(call, &peer)) write_target6(call, &peer);
  return PASS;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *socket) {
  struct address address = {.part = {0, 0, bpf_htonl(0xffff), socket->src_ip4}};

  return guard_bind(socket, address.part[3] ? &address : NULL);
}

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *socket) {
  struct address address = {
      .part = {socket->src_ip6[0], socket->src_ip6[1], socket->src_ip6[2], socket->src_ip6[3]}};

  return guard_bind(socket, is_any_address(&address) ? NULL : &address);
}

SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *socket) {
  return release(socket);
}

SEC("cgroup_skb/egress")
int check_egress(struct __sk_buff *skb) {
  return egress(skb);
}

char _license[] SEC("license") = "GPL";

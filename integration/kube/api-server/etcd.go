package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
)

// startEtcd serves a one-member etcd on a unix socket. Without fsync: a killed process loses nothing, only a killed machine would.
func startEtcd() *embed.Etcd {
	c := embed.NewConfig()
	c.Dir = path("etcd")
	c.LogLevel = "error"
	c.UnsafeNoFsync = true
	c.ListenClientUrls = []url.URL{{Scheme: "unix", Path: path("etcd.sock")}}
	c.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: path("peer.sock")}}
	etcd, err := embed.StartEtcd(c)
	check(err)
	<-etcd.Server.ReadyNotify()
	return etcd
}

// obey follows the lines of commands until their end, which ends the process.
func obey(etcd *embed.Etcd, commands io.Reader) {
	lines := bufio.NewScanner(commands)
	for lines.Scan() {
		var command string
		check(json.Unmarshal(lines.Bytes(), &command))
		switch command {
		case "compact":
			fmt.Printf("compacted revision=%d\n", compact(etcd))
		default:
			log.Printf("api-server: unknown command %q", command)
		}
	}
	os.Exit(0)
}

// compact forgets every revision before the current one. Returns it.
func compact(etcd *embed.Etcd) int64 {
	revision := etcd.Server.KV().Rev()
	_, err := etcd.Server.Compact(context.Background(), &etcdserverpb.CompactionRequest{Revision: revision, Physical: true})
	check(err)
	return revision
}

// Command api-server runs etcd and the real kube-apiserver in one process on loopback, for tests.
//
//	api-server -dir DIR [-listen HOST:PORT] [-fresh] [-- KUBE-APISERVER-FLAGS]
//
// Once /readyz answers ok it prints
//
//	ready kubeconfig=DIR/kubeconfig url=https://HOST:PORT
//
// The kubeconfig's user may do everything. Data, certificates and tokens stay in DIR, so that a process started on the same DIR
// and address is the same cluster after a restart, and with -fresh the same cluster after it lost its data.
//
// Lines on stdin are JSON strings: "compact" drops the history of etcd and answers "compacted revision=N". The process ends on
// SIGTERM, when stdin ends, and when its parent dies, even while it is stopped by SIGSTOP.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
	"k8s.io/component-base/cli"
)

var (
	dir     = flag.String("dir", "", "folder for data, certificates, tokens and the kubeconfig; at most 90 characters")
	listen  = flag.String("listen", "127.0.0.1:0", "address to serve on; port 0: any free one")
	isFresh = flag.Bool("fresh", false, "begin without the objects that an earlier process left in DIR")
)

// Names of sockets in DIR must fit into the 108 bytes of a sockaddr_un.
const dirLengthMax = 90

// The signal is sent when the thread's parent dies, and lasts as long as the thread that asked for it: the main thread.
func init() {
	runtime.LockOSThread()
	check(unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0))
}

func main() {
	flag.Parse()
	if *dir == "" || len(path("")) > dirLengthMax {
		log.Fatalf("api-server: -dir is required, with at most %d characters", dirLengthMax)
	}
	if *isFresh {
		check(os.RemoveAll(path("etcd")))
	}
	check(os.MkdirAll(path("etcd"), 0o700))
	host, port := pickAddress()
	token := ensureCredentials()
	etcd := startEtcd()
	go obey(etcd, os.Stdin)

	apiserver := newAPIServer(host, port, flag.Args())
	url := "https://" + net.JoinHostPort(host, port)
	go func() {
		check(writeKubeconfig(apiserver.Context(), url, token))
		fmt.Printf("ready kubeconfig=%s url=%s\n", path("kubeconfig"), url)
	}()
	code := cli.Run(apiserver)
	etcd.Close()
	os.Exit(code)
}

// pickAddress splits -listen, with a port that is free now in place of 0.
func pickAddress() (host, port string) {
	l, err := net.Listen("tcp", *listen)
	check(err)
	defer l.Close()
	host, port, err = net.SplitHostPort(l.Addr().String())
	check(err)
	return host, port
}

func path(name string) string {
	absolute, err := filepath.Abs(filepath.Join(*dir, name))
	check(err)
	return absolute
}

func check(err error) {
	if err != nil {
		log.Fatalf("api-server: %v", err)
	}
}

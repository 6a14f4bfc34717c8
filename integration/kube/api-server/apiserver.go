package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // Metrics of its API client.
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// newAPIServer is the ordinary kube-apiserver with these flags behind ours.
func newAPIServer(host, port string, flags []string) *cobra.Command {
	apiserver := app.NewAPIServerCommand()
	apiserver.SetArgs(append([]string{
		"--etcd-servers=unix://" + path("etcd.sock"),
		"--bind-address=" + host,
		"--advertise-address=" + host,
		"--secure-port=" + port,
		"--cert-dir=" + path("certs"),
		"--token-auth-file=" + path("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + path("service-account.key"),
		"--service-account-signing-key-file=" + path("service-account.key"),
		"--service-cluster-ip-range=10.96.0.0/16,fd00:96::/108",
		"--endpoint-reconciler-type=none",
		"--disable-admission-plugins=ServiceAccount", // Else pods need a service account controller.
	}, flags...))
	return apiserver
}

// writeKubeconfig waits until the API is ready. Its certificate exists only once it serves.
func writeKubeconfig(ctx context.Context, server, token string) error {
	config := api.NewConfig()
	config.Clusters["test"] = &api.Cluster{Server: server, CertificateAuthority: path("certs/apiserver.crt")}
	config.AuthInfos["admin"] = &api.AuthInfo{Token: token}
	config.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "admin"}
	config.CurrentContext = "test"
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		rest, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
		if err != nil {
			return false, nil
		}
		client, err := kubernetes.NewForConfig(rest)
		if err != nil {
			return false, nil
		}
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	})
	if err != nil {
		return err
	}
	return clientcmd.WriteToFile(*config, path("kubeconfig"))
}

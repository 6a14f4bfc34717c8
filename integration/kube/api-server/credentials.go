package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"strings"

	"k8s.io/client-go/util/keyutil"
)

// ensureCredentials leaves those of an earlier process as they are, so that its tokens stay valid. Returns the token of the user
// that may do everything.
func ensureCredentials() string {
	if kept, err := os.ReadFile(path("tokens.csv")); err == nil {
		token, _, _ := strings.Cut(string(kept), ",")
		return token
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	pem, err := keyutil.MarshalPrivateKeyToPEM(key)
	check(err)
	check(os.WriteFile(path("service-account.key"), pem, 0o600))
	token := rand.Text()
	// Last: it marks the credentials as complete.
	check(os.WriteFile(path("tokens.csv"), []byte(token+",admin,admin,system:masters\n"), 0o600))
	return token
}

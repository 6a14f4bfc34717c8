/* SPDX-License-Identifier: Apache-2.0 */
/* mTLS under a connection. Every agent shows a certificate of its own, which names its node; all of them are made here, of one key,
 * by an authority that lives as long as the bench. */
#include "load.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SAID_MAX 5
#define VALID_SECONDS (24 * 3600)
#define CLOCK_SKEW_SECONDS 3600

static SSL_CTX *context;
static EVP_PKEY *key;
static X509 **certificates;

static void fail_tls(const char *what) __attribute__((noreturn));
static void fail_tls(const char *what) { fail("%s: %s", what, ERR_error_string(ERR_get_error(), NULL)); }

static BIO *open_file(const char *path) {
  BIO *file = BIO_new_file(path, "r");

  if (!file) fail_tls(path);
  return file;
}

static X509 *read_certificate(const char *path) {
  BIO *file = open_file(path);
  X509 *certificate = PEM_read_bio_X509(file, NULL, NULL, NULL);

  if (!certificate) fail_tls(path);
  BIO_free(file);
  return certificate;
}

static EVP_PKEY *read_key(const char *path) {
  BIO *file = open_file(path);
  EVP_PKEY *read = PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);

  if (!read) fail_tls(path);
  BIO_free(file);
  return read;
}

static X509 *make_certificate(int index, X509 *authority, EVP_PKEY *authority_key) {
  X509 *made = X509_new();
  X509_EXTENSION *names;
  char node[64], uri[96];

  snprintf(node, sizeof node, "%s%d", options.prefix, index);
  snprintf(uri, sizeof uri, "URI:weft://node/%s", node);
  names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, uri);
  if (!made || !names || !X509_set_version(made, 2) || !ASN1_INTEGER_set(X509_get_serialNumber(made), index + 1) ||
      !X509_gmtime_adj(X509_getm_notBefore(made), -CLOCK_SKEW_SECONDS) ||
      !X509_gmtime_adj(X509_getm_notAfter(made), VALID_SECONDS) ||
      !X509_set_issuer_name(made, X509_get_subject_name(authority)) ||
      !X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, (uint8_t *)node, -1, -1, 0) ||
      !X509_set_pubkey(made, key) || !X509_add_ext(made, names, -1) || !X509_sign(made, authority_key, EVP_sha256()))
    fail_tls("a certificate");
  X509_EXTENSION_free(names);
  return made;
}

/* The newest of a connection is kept; the ticket of TLS 1.3 comes after the handshake. */
static int keep_session(SSL *ssl, SSL_SESSION *session) {
  struct agent *agent = SSL_get_app_data(ssl);

  SSL_SESSION_free(agent->session);
  agent->session = session;
  return 1;
}

void tls_prepare(void) {
  X509 *authority = read_certificate(options.tls_ca);
  EVP_PKEY *authority_key = read_key(options.tls_ca_key);

  /* A socket that is gone is seen as an error of write(). */
  signal(SIGPIPE, SIG_IGN);
  key = EVP_EC_gen("P-256");
  certificates = calloc(options.agents, sizeof *certificates);
  context = SSL_CTX_new(TLS_client_method());
  if (!key || !certificates || !context) fail_tls("TLS");
  for (int i = 0; i < options.agents; i++) certificates[i] = make_certificate(i, authority, authority_key);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, keep_session);
  if (!X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority) ||
      !X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(context), "127.0.0.1") ||
      SSL_CTX_set_alpn_protos(context, (const uint8_t *)"\x02h2", 3))
    fail_tls("TLS");
  X509_free(authority);
  EVP_PKEY_free(authority_key);
}

void tls_begin(struct agent *agent, bool is_resumed) {
  agent->ssl = SSL_new(context);
  if (!agent->ssl || !SSL_set_fd(agent->ssl, agent->fd) || !SSL_use_PrivateKey(agent->ssl, key) ||
      !SSL_use_certificate(agent->ssl, certificates[agent->index]))
    fail_tls("TLS");
  SSL_set_app_data(agent->ssl, agent);
  if (is_resumed && agent->session && !SSL_set_session(agent->ssl, agent->session)) fail_tls("a session");
  SSL_set_connect_state(agent->ssl);
}

/* As errno, for what is tried again later; else the agent is lost. */
static int problem_of(struct agent *agent, int returned) {
  static int said;
  int error = SSL_get_error(agent->ssl, returned);

  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return EAGAIN;
  if (error == SSL_ERROR_SSL && said++ < SAID_MAX)
    fprintf(stderr, "load: TLS: %s\n", ERR_error_string(ERR_peek_error(), NULL));
  return error == SSL_ERROR_SYSCALL && errno ? errno : EPROTO;
}

enum handshake tls_handshake(struct agent *agent) {
  int returned;

  ERR_clear_error();
  returned = SSL_do_handshake(agent->ssl);
  if (returned == 1) {
    counts.resumed += SSL_session_reused(agent->ssl);
    return HANDSHAKE_DONE;
  }
  errno = problem_of(agent, returned);
  if (errno != EAGAIN) return HANDSHAKE_FAILED;
  return SSL_want_write(agent->ssl) ? HANDSHAKE_WRITES : HANDSHAKE_READS;
}

ssize_t transport_send(struct agent *agent, const void *bytes, size_t length) {
  int sent;

  if (!agent->ssl) return send(agent->fd, bytes, length, MSG_NOSIGNAL);
  ERR_clear_error();
  sent = SSL_write(agent->ssl, bytes, length);
  if (sent > 0) return sent;
  errno = problem_of(agent, sent);
  return -1;
}

ssize_t transport_receive(struct agent *agent, void *bytes, size_t length) {
  int got;

  if (!agent->ssl) return recv(agent->fd, bytes, length, 0);
  ERR_clear_error();
  got = SSL_read(agent->ssl, bytes, length);
  if (got > 0) return got;
  if (SSL_get_error(agent->ssl, got) == SSL_ERROR_ZERO_RETURN) return 0;
  errno = problem_of(agent, got);
  return -1;
}

bool transport_has_more(const struct agent *agent) { return agent->ssl && SSL_has_pending(agent->ssl); }

void tls_end(struct agent *agent) {
  if (!agent->ssl) return;
  /* Nothing is sent; without it the session could not be resumed. */
  SSL_set_quiet_shutdown(agent->ssl, 1);
  SSL_shutdown(agent->ssl);
  SSL_free(agent->ssl);
  agent->ssl = NULL;
}

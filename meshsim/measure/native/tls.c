// TLS 1.3 with certificates on both ends, client and server in one thread over memory: handshakes and records.
// usage: tls FOLDER HANDSHAKES RECORDS SIZE...       FOLDER has ca.pem, client.pem, client.key, server.pem, server.key
// prints {"version": "...", "cipher": "...", "client_handshake_ns": [...], "server_handshake_ns": [...],
//         "SIZE": {"encrypt_ns": [...], "decrypt_ns": [...]}, ...}
// libssl is looked up at run time, so that its headers need not be installed; these are the parts used of its ABI 3.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void *(*make)(void);
typedef void *(*make_of)(const void *);
typedef int (*set_int)(void *, int);
typedef int (*set_file)(void *, const char *, int);
typedef long (*control)(void *, int, long, void *);
typedef int (*transfer)(void *, void *, int);

enum { PEM = 1, VERIFY_BOTH = 3, SET_MIN_VERSION = 123, TLS_1_3 = 0x304, SESSION_CACHE_MODE = 44, BATCH = 20, MOST = 16384 };

static void *library, *crypto;

static void *symbol(void *from, const char *name) {
  void *found = dlsym(from, name);
  if (!found) {
    fprintf(stderr, "libssl has no %s\n", name);
    exit(1);
  }
  return found;
}

#define SSL_FUNCTION(type, name) type name = (type)symbol(library, #name)

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void *context(const char *folder, const char *end) {
  SSL_FUNCTION(make, TLS_method);
  SSL_FUNCTION(make_of, SSL_CTX_new);
  SSL_FUNCTION(control, SSL_CTX_ctrl);
  SSL_FUNCTION(set_file, SSL_CTX_use_certificate_file);
  SSL_FUNCTION(set_file, SSL_CTX_use_PrivateKey_file);
  int (*SSL_CTX_load_verify_locations)(void *, const char *, const char *) =
      symbol(library, "SSL_CTX_load_verify_locations");
  void (*SSL_CTX_set_verify)(void *, int, void *) = symbol(library, "SSL_CTX_set_verify");
  char path[3][512];
  snprintf(path[0], sizeof *path, "%s/%s.pem", folder, end);
  snprintf(path[1], sizeof *path, "%s/%s.key", folder, end);
  snprintf(path[2], sizeof *path, "%s/ca.pem", folder);
  void *made = SSL_CTX_new(TLS_method());
  if (!made || SSL_CTX_use_certificate_file(made, path[0], PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(made, path[1], PEM) != 1 ||
      SSL_CTX_load_verify_locations(made, path[2], NULL) != 1) {
    fprintf(stderr, "%s: certificate or key is not accepted\n", end);
    exit(1);
  }
  SSL_CTX_ctrl(made, SET_MIN_VERSION, TLS_1_3, NULL);
  SSL_CTX_ctrl(made, SESSION_CACHE_MODE, 0, NULL);  // every handshake is a full one
  SSL_CTX_set_verify(made, VERIFY_BOTH, NULL);
  return made;
}

// Two ends joined by a pair of memory buffers.
static void *open_end(void *context, void *bio, int is_server) {
  SSL_FUNCTION(make_of, SSL_new);
  void (*SSL_set_bio)(void *, void *, void *) = symbol(library, "SSL_set_bio");
  void (*set_state)(void *) = symbol(library, is_server ? "SSL_set_accept_state" : "SSL_set_connect_state");
  void *end = SSL_new(context);
  SSL_set_bio(end, bio, bio);
  set_state(end);
  return end;
}

static void print_list(const char *name, const double *values, int count, const char *end) {
  printf("\"%s\": [", name);
  for (int i = 0; i < count; i++) printf("%s%.1f", i ? ", " : "", values[i]);
  printf("]%s", end);
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  library = dlopen("libssl.so.3", RTLD_NOW);
  crypto = dlopen("libcrypto.so.3", RTLD_NOW);
  if (!library || !crypto) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  int (*SSL_do_handshake)(void *) = symbol(library, "SSL_do_handshake");
  SSL_FUNCTION(transfer, SSL_read);
  SSL_FUNCTION(transfer, SSL_write);
  void (*SSL_free)(void *) = symbol(library, "SSL_free");
  const void *(*SSL_get_current_cipher)(void *) = symbol(library, "SSL_get_current_cipher");
  const char *(*SSL_CIPHER_get_name)(const void *) = symbol(library, "SSL_CIPHER_get_name");
  const char *(*OpenSSL_version)(int) = symbol(crypto, "OpenSSL_version");
  int (*BIO_new_bio_pair)(void **, size_t, void **, size_t) = symbol(crypto, "BIO_new_bio_pair");

  void *contexts[2] = {context(argv[1], "client"), context(argv[1], "server")};
  int handshakes = atoi(argv[2]), records = atoi(argv[3]);
  double *spent[2] = {calloc(handshakes, sizeof(double)), calloc(handshakes, sizeof(double))};
  void *ends[2];
  for (int i = 0; i <= handshakes; i++) {  // the first one warms up
    void *bios[2];
    double took[2] = {0, 0};
    if (BIO_new_bio_pair(&bios[0], 1 << 17, &bios[1], 1 << 17) != 1) return 1;
    for (int side = 0; side < 2; side++) ends[side] = open_end(contexts[side], bios[side], side);
    int done[2] = {0, 0};
    for (int turn = 0; turn < 20 && !(done[0] && done[1]); turn++) {
      double start = now_ns();
      done[turn % 2] = SSL_do_handshake(ends[turn % 2]) == 1;
      took[turn % 2] += now_ns() - start;
    }
    if (!done[0] || !done[1]) {
      fprintf(stderr, "the handshake does not end\n");
      return 1;
    }
    if (i) {
      spent[0][i - 1] = took[0];
      spent[1][i - 1] = took[1];
    }
    if (i < handshakes) {
      SSL_free(ends[0]);
      SSL_free(ends[1]);
    }
  }
  printf("{\"version\": \"%s\", \"cipher\": \"%s\", ", OpenSSL_version(0),
         SSL_CIPHER_get_name(SSL_get_current_cipher(ends[0])));
  print_list("client_handshake_ns", spent[0], handshakes, ", ");
  print_list("server_handshake_ns", spent[1], handshakes, "");

  static char plain[MOST], back[MOST];
  int batches = records / BATCH;
  double *encrypt = calloc(batches, sizeof(double)), *decrypt = calloc(batches, sizeof(double));
  for (int s = 4; s < argc; s++) {
    int size = atoi(argv[s]), each = size > 4096 ? 4 : BATCH;  // what fits into the memory between the ends
    if (size < 1 || size > MOST) return 2;
    memset(plain, 'x', size);
    for (int b = 0; b < batches; b++) {
      double start = now_ns();
      for (int i = 0; i < each; i++)
        if (SSL_write(ends[0], plain, size) != size) return 1;
      double middle = now_ns();
      for (int i = 0; i < each; i++)
        if (SSL_read(ends[1], back, size) != size) return 1;
      encrypt[b] = (middle - start) / each;
      decrypt[b] = (now_ns() - middle) / each;
    }
    printf(", \"%d\": {", size);
    print_list("encrypt_ns", encrypt, batches, ", ");
    print_list("decrypt_ns", decrypt, batches, "}");
  }
  printf("}\n");
}

// A proxy-Wasm filter (ABI 0.2.1), written without an SDK so that only the interface is measured.
//
// What it does comes with the plug-in's configuration: letters and numbers, in any order, each missing one is 0:
//   r10  read ten request headers     a2  add two request headers
//   h4096  hash so many bytes         m1  read one response header and add one
// An empty configuration leaves the callbacks empty.
#include "work.h"

#define EXPORT __attribute__((visibility("default")))
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))
enum { REQUEST_HEADERS = 0, RESPONSE_HEADERS = 2, PLUGIN_CONFIGURATION = 7, CONTINUE = 0, CONTEXTS = 64 };
enum { ARENA = 1 << 16, MOST_BYTES = 1 << 16 };

IMPORT(proxy_get_header_map_value)
int proxy_get_header_map_value(int map, const char *key, int key_size, char **value, int *value_size);
IMPORT(proxy_add_header_map_value)
int proxy_add_header_map_value(int map, const char *key, int key_size, const char *value, int value_size);
IMPORT(proxy_get_buffer_bytes)
int proxy_get_buffer_bytes(int buffer, int start, int length, char **bytes, int *size);

// One plug-in's root context; a VM may be shared by several plug-ins.
static struct Settings {
  int context, reads, adds, hash, answer;
} settings[CONTEXTS];
static int roots;
static struct { int stream; struct Settings *settings; } streams[CONTEXTS];

// What the host writes into the guest lives until the end of the callback that asked for it.
static unsigned char bytes[MOST_BYTES];
static unsigned char arena[ARENA];
static unsigned used;
static volatile unsigned result;  // else the compiler takes the hash away

EXPORT void *proxy_on_memory_allocate(unsigned size) {
  size = (size + 15) & ~15u;
  if (size > ARENA) return 0;
  if (used + size > ARENA) used = 0;
  used += size;
  return arena + used - size;
}

EXPORT void proxy_abi_version_0_2_1(void) {}
EXPORT void _initialize(void) {}
EXPORT int proxy_on_vm_start(int context, int size) { return 1; }

EXPORT void proxy_on_context_create(int context, int root) {
  used = 0;
  if (root == 0) {
    settings[roots++ % CONTEXTS] = (struct Settings){context, 0, 0, 0, 0};
    return;
  }
  for (int i = 0; i < CONTEXTS; i++)
    if (settings[i].context == root) {
      streams[context % CONTEXTS].stream = context;
      streams[context % CONTEXTS].settings = &settings[i];
      return;
    }
}

EXPORT int proxy_on_configure(int context, int size) {
  char *text = 0;
  int length = 0, *into = 0;
  used = 0;
  if (size && proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, &text, &length)) return 0;
  for (int i = 0; i < CONTEXTS; i++) {
    struct Settings *mine = &settings[i];
    if (mine->context != context) continue;
    for (int at = 0; at < length; at++) {
      char c = text[at];
      if (c >= '0' && c <= '9') {
        if (into) *into = *into * 10 + c - '0';
      } else into = c == 'r' ? &mine->reads : c == 'a' ? &mine->adds : c == 'h' ? &mine->hash : c == 'm' ? &mine->answer : 0;
    }
    if (mine->hash > MOST_BYTES) return 0;
    // What the compiler cannot know: a hash over zeros would become one multiplication.
    for (int at = 0; at < mine->hash; at++) bytes[at] = at * size + context;
    return 1;
  }
  return 0;
}

static void headers(int map, const char *key, int key_size, int reads, int adds) {
  char *value;
  int size;
  for (int i = 0; i < reads; i++) proxy_get_header_map_value(map, key, key_size, &value, &size);
  for (int i = 0; i < adds; i++) proxy_add_header_map_value(map, "x-mesh", 6, "measured", 8);
}

EXPORT int proxy_on_request_headers(int context, int count, int end) {
  struct Settings *mine = streams[context % CONTEXTS].settings;
  used = 0;
  if (!mine) return CONTINUE;
  headers(REQUEST_HEADERS, ":path", 5, mine->reads, mine->adds);
  if (mine->hash) result = fnv(bytes, mine->hash, result);
  return CONTINUE;
}

EXPORT int proxy_on_response_headers(int context, int count, int end) {
  struct Settings *mine = streams[context % CONTEXTS].settings;
  used = 0;
  if (mine && mine->answer) headers(RESPONSE_HEADERS, ":status", 7, mine->answer, mine->answer);
  return CONTINUE;
}

EXPORT int proxy_on_done(int context) { return 1; }
EXPORT void proxy_on_log(int context) {}
EXPORT void proxy_on_delete(int context) {}

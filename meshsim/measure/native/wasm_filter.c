// A small proxy-Wasm host (ABI 0.2.1): runs a filter over requests that exist in memory only, so that a plug-in's
// cost on wasmtime can be set beside its cost in Envoy. No network, no proxy around it.
// usage: wasm_filter FILTER CONFIGURATION COPIES REQUESTS BATCHES
// prints {"request_ns": [CPU time, mean of each batch], "start_ns": N, "added": headers added by a request}
#include "wasm_host.h"

enum { OK = 0, NOT_FOUND = 1, MOST_COPIES = 64, MOST_HEADERS = 64, TEXT = 8192, ROOM = 4 };

typedef struct { int key_size, value_size; const char *key, *value; } Header;

// One list of headers; what a guest adds is copied, as a proxy must.
typedef struct { Header headers[MOST_HEADERS]; int count, used; char text[TEXT]; } Headers;

typedef struct {
  Guest guest;
  wasmtime_memory_t ram;
  wasmtime_func_t allocate, create, request, response, done, log, remove;
  const char *configuration;
} Plugin;

static Headers request_headers, response_headers;
static long added;
static Plugin *running;  // whose callback is under way

static void put(Headers *list, const char *key, int key_size, const char *value, int value_size) {
  if (list->count == MOST_HEADERS || list->used + key_size + value_size > TEXT) die("headers", "full", 4);
  char *at = list->text + list->used;
  memcpy(at, key, key_size);
  memcpy(at + key_size, value, value_size);
  list->used += key_size + value_size;
  list->headers[list->count++] = (Header){key_size, value_size, at, at + key_size};
}

static void put_text(Headers *list, const char *key, const char *value) {
  put(list, key, strlen(key), value, strlen(value));
}

static Headers *list_of(int map) { return map == 0 ? &request_headers : map == 2 ? &response_headers : NULL; }

// The address of a range of the running guest's memory; a range outside it ends the program.
static uint8_t *at(uint32_t offset, uint32_t length) {
  if ((uint64_t)offset + length > wasmtime_memory_data_size(running->guest.context, &running->ram))
    die("guest", "pointed outside its memory", 26);
  return wasmtime_memory_data(running->guest.context, &running->ram) + offset;
}

// Give the guest some bytes, in memory that it allocates, as the ABI wants.
static void give(const char *bytes, uint32_t length, uint32_t where, uint32_t where_size) {
  wasmtime_val_raw_t value[1] = {{.i32 = length}};
  call(&running->guest, &running->allocate, value, 1);
  uint32_t address = value[0].i32;
  memcpy(at(address, length), bytes, length);
  memcpy(at(where, 4), &address, 4);
  memcpy(at(where_size, 4), &length, 4);
}

static wasm_trap_t *get_header(void *data, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t count) {
  Headers *list = list_of(v[0].i32);
  uint32_t size = v[2].i32, where = v[3].i32, where_size = v[4].i32;
  const char *key = (char *)at(v[1].i32, size);
  for (int i = 0; list && i < list->count; i++)
    if ((uint32_t)list->headers[i].key_size == size && !memcmp(list->headers[i].key, key, size)) {
      give(list->headers[i].value, list->headers[i].value_size, where, where_size);
      v[0].i32 = OK;
      return NULL;
    }
  v[0].i32 = NOT_FOUND;
  return NULL;
}

static wasm_trap_t *add_header(void *data, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t count) {
  Headers *list = list_of(v[0].i32);
  if (list) {
    put(list, (char *)at(v[1].i32, v[2].i32), v[2].i32, (char *)at(v[3].i32, v[4].i32), v[4].i32);
    added++;
  }
  v[0].i32 = list ? OK : NOT_FOUND;
  return NULL;
}

static wasm_trap_t *get_buffer(void *data, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t count) {
  const char *text = running->configuration;
  uint32_t have = strlen(text), start = v[1].i32, length = v[2].i32;
  if (v[0].i32 != 7 || start > have) {
    v[0].i32 = NOT_FOUND;
    return NULL;
  }
  give(text + start, length < have - start ? length : have - start, v[3].i32, v[4].i32);
  v[0].i32 = OK;
  return NULL;
}

static int32_t call3(Plugin *plugin, const wasmtime_func_t *f, int32_t a, int32_t b, int32_t c) {
  wasmtime_val_raw_t values[ROOM] = {{.i32 = a}, {.i32 = b}, {.i32 = c}};
  running = plugin;
  call(&plugin->guest, f, values, ROOM);
  return values[0].i32;
}

static void start(Plugin *plugin, wasm_engine_t *engine, wasmtime_instance_pre_t *pre, const char *configuration) {
  plugin->guest = new_guest(engine, pre, NULL);
  plugin->ram = memory(&plugin->guest);
  plugin->configuration = configuration;
  Guest *guest = &plugin->guest;
  wasmtime_func_t initialize = function(guest, "_initialize"), vm = function(guest, "proxy_on_vm_start");
  wasmtime_func_t configure = function(guest, "proxy_on_configure");
  plugin->allocate = function(guest, "proxy_on_memory_allocate");
  plugin->create = function(guest, "proxy_on_context_create");
  plugin->request = function(guest, "proxy_on_request_headers");
  plugin->response = function(guest, "proxy_on_response_headers");
  plugin->done = function(guest, "proxy_on_done");
  plugin->log = function(guest, "proxy_on_log");
  plugin->remove = function(guest, "proxy_on_delete");
  call3(plugin, &initialize, 0, 0, 0);
  call3(plugin, &plugin->create, 1, 0, 0);
  if (!call3(plugin, &vm, 1, 0, 0) || !call3(plugin, &configure, 1, strlen(configuration), 0))
    die("filter", "refused its configuration", 25);
}

static void one_request(Plugin *plugins, int copies, int stream) {
  request_headers.count = request_headers.used = response_headers.count = response_headers.used = 0;
  put_text(&request_headers, ":authority", "service");
  put_text(&request_headers, ":path", "/measured");
  put_text(&request_headers, ":method", "GET");
  put_text(&request_headers, "x-request-id", "00000000-0000-0000-0000-000000000000");
  put_text(&response_headers, ":status", "200");
  put_text(&response_headers, "content-length", "64");
  for (int i = 0; i < copies; i++) {
    call3(&plugins[i], &plugins[i].create, stream, 1, 0);
    call3(&plugins[i], &plugins[i].request, stream, request_headers.count, 1);
  }
  for (int i = copies; i--;) call3(&plugins[i], &plugins[i].response, stream, response_headers.count, 1);
  for (int i = 0; i < copies; i++) {
    call3(&plugins[i], &plugins[i].done, stream, 0, 0);
    call3(&plugins[i], &plugins[i].log, stream, 0, 0);
    call3(&plugins[i], &plugins[i].remove, stream, 0, 0);
  }
}

int main(int argc, char **argv) {
  static Plugin plugins[MOST_COPIES];
  if (argc != 6) return 2;
  int copies = atoi(argv[3]), requests = atoi(argv[4]), batches = atoi(argv[5]), stream = 2;
  if (copies > MOST_COPIES) return 2;
  wasm_engine_t *engine = new_engine("on-demand", "cranelift", MOST_COPIES);
  wasmtime_module_t *module = load_module(engine, argv[1]);
  wasmtime_linker_t *linker = wasmtime_linker_new(engine);
  wasmtime_instance_pre_t *pre;
  define(linker, "proxy_get_header_map_value", 5, 1, get_header);
  define(linker, "proxy_add_header_map_value", 5, 1, add_header);
  define(linker, "proxy_get_buffer_bytes", 5, 1, get_buffer);
  check("link", wasmtime_linker_instantiate_pre(linker, module, &pre), NULL);
  double began = now_ns();
  for (int i = 0; i < copies; i++) start(&plugins[i], engine, pre, argv[2]);
  double ready = now_ns();
  for (int i = 0; i < requests; i++) one_request(plugins, copies, stream++);
  added = 0;
  printf("{\"request_ns\": [");
  for (int batch = 0; batch < batches; batch++) {
    double from = cpu_ns();
    for (int i = 0; i < requests; i++) one_request(plugins, copies, stream++);
    printf("%s%.2f", batch ? ", " : "", (cpu_ns() - from) / requests);
  }
  printf("], \"start_ns\": %.0f, \"added\": %ld}\n", ready - began, added / ((long)requests * batches));
}

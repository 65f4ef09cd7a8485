// What our hosts on wasmtime share: an engine, a module from a file, instances, calls; errors end the program.
#pragma once
#include "wasmtime_api.h"

static __attribute__((noreturn)) void die(const char *what, const char *words, size_t length) {
  fprintf(stderr, "%s: %.*s\n", what, (int)length, words);
  exit(1);
}

static void check(const char *what, wasmtime_error_t *error, wasm_trap_t *trap) {
  wasm_byte_vec_t words;
  if (!error && !trap) return;
  if (error) wasmtime_error_message(error, &words);
  else wasm_trap_message(trap, &words);
  die(what, words.data, words.size);
}

static inline double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

// CPU time of all threads: a compiler may use several, and other processes do not count.
static inline double cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static inline wasm_engine_t *new_engine(const char *allocation, const char *strategy, uint32_t most) {
  wasm_config_t *config = wasm_config_new();
  wasmtime_config_strategy_set(config, strcmp(strategy, "winch") ? STRATEGY_CRANELIFT : STRATEGY_WINCH);
  if (!strcmp(allocation, "pooling")) {
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_config_total_core_instances_set(pool, most);
    wasmtime_pooling_allocation_config_total_memories_set(pool, most);
    wasmtime_pooling_allocation_config_total_tables_set(pool, most);
    wasmtime_pooling_allocation_config_max_memory_size_set(pool, 1 << 22);
    wasmtime_pooling_allocation_strategy_set(config, pool);
  }
  wasm_engine_t *engine = wasm_engine_new_with_config(config);
  if (!engine) die("engine", "cannot be made", 14);
  return engine;
}

static inline uint8_t *read_file(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  if (!file) die(path, "cannot be read", 14);
  fseek(file, 0, SEEK_END);
  *length = ftell(file);
  rewind(file);
  uint8_t *bytes = malloc(*length + 1);
  if (fread(bytes, 1, *length, file) != *length) die(path, "cannot be read", 14);
  fclose(file);
  return bytes;
}

// A .wasm is compiled; anything else is a module compiled before by the same version.
static inline wasmtime_module_t *load_module(wasm_engine_t *engine, const char *path) {
  wasmtime_module_t *module;
  size_t length = strlen(path);
  if (length < 5 || strcmp(path + length - 5, ".wasm")) {
    check(path, wasmtime_module_deserialize_file(engine, path, &module), NULL);
    return module;
  }
  uint8_t *bytes = read_file(path, &length);
  check(path, wasmtime_module_new(engine, bytes, length, &module), NULL);
  free(bytes);
  return module;
}

// A host function with some 32-bit arguments and at most one 32-bit result.
static inline void define(
    wasmtime_linker_t *linker, const char *name, int arguments, int results, wasmtime_func_unchecked_callback_t f) {
  wasm_valtype_t *types[16];
  wasm_valtype_vec_t in, out;
  for (int i = 0; i < arguments; i++) types[i] = wasm_valtype_new(I32_TYPE);
  wasm_valtype_vec_new(&in, arguments, types);
  for (int i = 0; i < results; i++) types[i] = wasm_valtype_new(I32_TYPE);
  wasm_valtype_vec_new(&out, results, types);
  wasm_functype_t *type = wasm_functype_new(&in, &out);
  check(name, wasmtime_linker_define_func_unchecked(linker, "env", 3, name, strlen(name), type, f, NULL, NULL), NULL);
  wasm_functype_delete(type);
}

typedef struct {
  wasmtime_store_t *store;
  wasmtime_context_t *context;
  wasmtime_instance_t instance;
} Guest;

static inline Guest new_guest(wasm_engine_t *engine, wasmtime_instance_pre_t *pre, void *data) {
  Guest guest;
  wasm_trap_t *trap = NULL;
  guest.store = wasmtime_store_new(engine, data, NULL);
  guest.context = wasmtime_store_context(guest.store);
  wasmtime_error_t *error = wasmtime_instance_pre_instantiate(pre, guest.context, &guest.instance, &trap);
  if (error || trap) check("instantiate", error, trap);
  return guest;
}

static inline bool find(Guest *guest, const char *name, uint8_t kind, wasmtime_extern_t *found) {
  return wasmtime_instance_export_get(guest->context, &guest->instance, name, strlen(name), found) &&
         found->kind == kind;
}

static inline wasmtime_func_t function(Guest *guest, const char *name) {
  wasmtime_extern_t found;
  if (!find(guest, name, FUNC_EXTERN, &found)) die(name, "is not exported", 15);
  return found.of.func;
}

static inline wasmtime_memory_t memory(Guest *guest) {
  wasmtime_extern_t found;
  if (!find(guest, "memory", MEMORY_EXTERN, &found)) die("memory", "is not exported", 15);
  return found.of.memory;
}

// Arguments in, result out, in `values`.
static inline void call(Guest *guest, const wasmtime_func_t *function, wasmtime_val_raw_t *values, size_t room) {
  wasm_trap_t *trap = NULL;
  wasmtime_error_t *error = wasmtime_func_call_unchecked(guest->context, function, values, room, &trap);
  if (error || trap) check("call", error, trap);
}

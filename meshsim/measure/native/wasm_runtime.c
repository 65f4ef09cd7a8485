// Measures wasmtime itself, without the cost of a scripting language's bindings.
// usage: wasm_runtime compile FILE COUNT cranelift|winch       {"compile_ns", "deserialize_ns", "compiled_bytes"}
//        wasm_runtime precompile FILE TARGET                   writes the compiled module
//        wasm_runtime start FILE                               {"engine_ns", "load_ns"}
//        wasm_runtime instances WORK COUNT on-demand|pooling   {"instantiate_ns", "first_call_ns"}
//        wasm_runtime calls WORK COUNT                         {"call_ns", "host_call_ns"}: means of batches
//        wasm_runtime memory ECHO on-demand|pooling N…         {"bytes": [private bytes with N instances alive, …]}
//        wasm_runtime compute WORK KIND LENGTH TIMES BATCHES   {"ns_per_byte", "value"}
#include "wasm_host.h"

enum { MOST = 5000, BATCHES = 40 };

static wasm_trap_t *host(void *data, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count) {
  values[0].i32++;
  return NULL;
}

static wasmtime_instance_pre_t *prepare(wasm_engine_t *engine, wasmtime_module_t *module) {
  wasmtime_linker_t *linker = wasmtime_linker_new(engine);
  wasmtime_instance_pre_t *pre;
  define(linker, "host", 1, 1, host);
  check("link", wasmtime_linker_instantiate_pre(linker, module, &pre), NULL);
  return pre;
}

static void print(const char *name, const double *values, int count, const char *after) {
  printf("\"%s\": [", name);
  for (int i = 0; i < count; i++) printf("%s%.4g", i ? ", " : "", values[i]);
  printf("]%s", after);
}

static void compile(const char *path, int count, const char *strategy) {
  wasm_engine_t *engine = new_engine("on-demand", strategy, 1);
  size_t length;
  uint8_t *bytes = read_file(path, &length);
  double *compiled = calloc(count, sizeof *compiled), *loaded = calloc(count, sizeof *loaded);
  size_t size = 0;
  for (int i = 0; i < count; i++) {
    wasmtime_module_t *module, *again;
    wasm_byte_vec_t image;
    double start = cpu_ns();
    check(path, wasmtime_module_new(engine, bytes, length, &module), NULL);
    compiled[i] = cpu_ns() - start;
    check(path, wasmtime_module_serialize(module, &image), NULL);
    start = cpu_ns();
    check(path, wasmtime_module_deserialize(engine, (uint8_t *)image.data, image.size, &again), NULL);
    loaded[i] = cpu_ns() - start;
    size = image.size;
    wasm_byte_vec_delete(&image);
    wasmtime_module_delete(module);
    wasmtime_module_delete(again);
  }
  printf("{");
  print("compile_ns", compiled, count, ", ");
  print("deserialize_ns", loaded, count, ", ");
  printf("\"compiled_bytes\": %zu}\n", size);
}

static void precompile(const char *path, const char *target) {
  wasm_byte_vec_t image;
  check(path, wasmtime_module_serialize(load_module(new_engine("on-demand", "cranelift", 1), path), &image), NULL);
  FILE *file = fopen(target, "wb");
  if (!file || fwrite(image.data, 1, image.size, file) != image.size || fclose(file)) die(target, "not written", 11);
}

static void start_up(const char *path) {
  double began = now_ns();
  wasm_engine_t *engine = new_engine("on-demand", "cranelift", 1);
  double ready = now_ns();
  load_module(engine, path);
  printf("{\"engine_ns\": %.0f, \"load_ns\": %.0f}\n", ready - began, now_ns() - ready);
}

static void instances(const char *path, int count, const char *allocation) {
  wasm_engine_t *engine = new_engine(allocation, "cranelift", MOST);
  wasmtime_instance_pre_t *pre = prepare(engine, load_module(engine, path));
  double *made = calloc(count, sizeof *made), *called = calloc(count, sizeof *called);
  for (int i = -20; i < count; i++) {
    wasmtime_val_raw_t values[2] = {{.i32 = 64}, {.i32 = 1}};
    double start = now_ns();
    Guest guest = new_guest(engine, pre, NULL);
    double ready = now_ns();
    wasmtime_func_t work = function(&guest, "hash_work");
    call(&guest, &work, values, 2);
    double done = now_ns();
    if (i >= 0) {
      made[i] = ready - start;
      called[i] = done - ready;
    }
    wasmtime_store_delete(guest.store);
  }
  printf("{");
  print("instantiate_ns", made, count, ", ");
  print("first_call_ns", called, count, "}\n");
}

static void calls(const char *path, int count) {
  wasm_engine_t *engine = new_engine("on-demand", "cranelift", 1);
  Guest guest = new_guest(engine, prepare(engine, load_module(engine, path)), NULL);
  wasmtime_func_t empty = function(&guest, "empty"), call_host = function(&guest, "call_host");
  double called[BATCHES], host_called[BATCHES];
  for (int batch = 0; batch < BATCHES; batch++) {
    double start = cpu_ns();
    for (int i = 0; i < count; i++) {
      wasmtime_val_raw_t value[1] = {{.i32 = i}};
      call(&guest, &empty, value, 1);
    }
    called[batch] = (cpu_ns() - start) / count;
    wasmtime_val_raw_t value[1] = {{.i32 = count}};
    start = cpu_ns();
    call(&guest, &call_host, value, 1);
    host_called[batch] = (cpu_ns() - start) / count;
    if (value[0].i32 != count) die("host", "was not called", 14);
  }
  printf("{");
  print("call_ns", called, BATCHES, ", ");
  print("host_call_ns", host_called, BATCHES, "}\n");
}

static long private_bytes(void) {
  char line[256];
  long kib, total = 0;
  FILE *file = fopen("/proc/self/smaps_rollup", "r");
  if (!file) die("smaps_rollup", "cannot be read", 14);
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "Private_Dirty: %ld", &kib) == 1) total += kib * 1024;
  fclose(file);
  return total;
}

static void memories(const char *path, const char *allocation, int steps, char **counts) {
  static const char request[] = "GET /measured HTTP/1.1\r\nhost: a\r\n\r\n";
  wasm_engine_t *engine = new_engine(allocation, "cranelift", MOST);
  wasmtime_instance_pre_t *pre = prepare(engine, load_module(engine, path));
  int alive = 0;
  printf("{\"bytes\": [");
  for (int step = 0; step < steps; step++) {
    for (int wanted = atoi(counts[step]); alive < wanted; alive++) {
      Guest guest = new_guest(engine, pre, NULL);
      wasmtime_func_t input = function(&guest, "input"), handle = function(&guest, "handle");
      wasmtime_memory_t ram = memory(&guest);
      wasmtime_val_raw_t value[1] = {{.i32 = 0}};
      call(&guest, &input, value, 1);
      memcpy(wasmtime_memory_data(guest.context, &ram) + value[0].i32, request, sizeof request - 1);
      value[0].i32 = sizeof request - 1;
      call(&guest, &handle, value, 1);
      if (!value[0].i32) die("handle", "gave no answer", 14);
    }
    printf("%s%ld", step ? ", " : "", private_bytes());
  }
  printf("]}\n");
}

static void compute(const char *path, const char *kind, unsigned length, unsigned times, unsigned batches) {
  wasm_engine_t *engine = new_engine("on-demand", "cranelift", 1);
  Guest guest = new_guest(engine, prepare(engine, load_module(engine, path)), NULL);
  char name[32];
  wasmtime_val_raw_t values[2] = {{.i32 = 0}, {.i32 = 0}};
  wasmtime_func_t fill = function(&guest, "fill");
  call(&guest, &fill, values, 2);
  snprintf(name, sizeof name, "%s_work", kind);
  wasmtime_func_t work = function(&guest, name);
  printf("{\"ns_per_byte\": [");
  for (unsigned batch = 0; batch < batches; batch++) {
    values[0].i32 = length;
    values[1].i32 = times;
    double start = now_ns();
    call(&guest, &work, values, 2);
    printf("%s%.4f", batch ? ", " : "", (now_ns() - start) / ((double)length * times));
  }
  printf("], \"value\": %u}\n", (unsigned)values[0].i32);
}

int main(int argc, char **argv) {
  const char *mode = argc > 2 ? argv[1] : "";
  if (!strcmp(mode, "compile") && argc == 5) compile(argv[2], atoi(argv[3]), argv[4]);
  else if (!strcmp(mode, "precompile") && argc == 4) precompile(argv[2], argv[3]);
  else if (!strcmp(mode, "start") && argc == 3) start_up(argv[2]);
  else if (!strcmp(mode, "instances") && argc == 5) instances(argv[2], atoi(argv[3]), argv[4]);
  else if (!strcmp(mode, "calls") && argc == 4) calls(argv[2], atoi(argv[3]));
  else if (!strcmp(mode, "memory") && argc > 4) memories(argv[2], argv[3], argc - 4, argv + 4);
  else if (!strcmp(mode, "compute") && argc == 7) compute(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
  else return 2;
}

// An HTTP server whose services are Wasm modules: one port a service, each with an instance of its own, made when the
// first connection to it comes. usage: wasm_serve MODULE PORT COUNT        MODULE: .wasm, or compiled before
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wasm_host.h"

enum { MOST = 4096, ROOM = 4096, EVENTS = 64 };

typedef struct {
  int fd, made;
  Guest guest;
  wasmtime_memory_t ram;
  wasmtime_func_t handle;
  uint32_t input, output;
} Service;

typedef struct { Service *service; int fd; size_t have; char text[ROOM]; } Connection;

static Service services[MOST];
static wasm_engine_t *engine;
static wasmtime_instance_pre_t *pre;

static uint32_t number(Guest *guest, const char *name) {
  wasmtime_func_t f = function(guest, name);
  wasmtime_val_raw_t value[1] = {{.i32 = 0}};
  call(guest, &f, value, 1);
  return value[0].i32;
}

static void make(Service *service) {
  service->guest = new_guest(engine, pre, NULL);
  service->ram = memory(&service->guest);
  service->handle = function(&service->guest, "handle");
  service->input = number(&service->guest, "input");
  service->output = number(&service->guest, "output");
  service->made = 1;
}

// Length of the answer to what has come, which lies in the guest's memory; 0 if the request is not complete.
static uint32_t handle(Service *service, const char *text, uint32_t length, const uint8_t **answer) {
  uint8_t *ram = wasmtime_memory_data(service->guest.context, &service->ram);
  wasmtime_val_raw_t value[1] = {{.i32 = length}};
  memcpy(ram + service->input, text, length);
  call(&service->guest, &service->handle, value, 1);
  *answer = wasmtime_memory_data(service->guest.context, &service->ram) + service->output;
  return value[0].i32;
}

static int serve(Connection *connection) {
  ssize_t got = recv(connection->fd, connection->text + connection->have, ROOM - 256 - connection->have, 0);
  const uint8_t *answer;
  if (got <= 0) return 0;
  connection->have += got;
  uint32_t length = handle(connection->service, connection->text, connection->have, &answer);
  if (!length) return connection->have < ROOM - 256;
  connection->have = 0;
  return send(connection->fd, answer, length, MSG_NOSIGNAL) == length;
}

int main(int argc, char **argv) {
  if (argc != 4 || atoi(argv[3]) > MOST) return 2;
  int port = atoi(argv[2]), count = atoi(argv[3]), one = 1, poll = epoll_create1(0);
  engine = new_engine(count > 1 ? "pooling" : "on-demand", "cranelift", MOST);
  check("link", wasmtime_linker_instantiate_pre(wasmtime_linker_new(engine), load_module(engine, argv[1]), &pre), NULL);
  for (int i = 0; i < count; i++) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port + i)};
    services[i].fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(services[i].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(services[i].fd, (struct sockaddr *)&at, sizeof at) || listen(services[i].fd, 64)) {
      perror("listen");
      return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &services[i]};
    epoll_ctl(poll, EPOLL_CTL_ADD, services[i].fd, &event);
  }
  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      void *which = events[i].data.ptr;
      if (which >= (void *)services && which < (void *)(services + MOST)) {
        Service *service = which;
        if (!service->made) make(service);
        Connection *connection = malloc(sizeof *connection);
        connection->service = service;
        connection->have = 0;
        connection->fd = accept(service->fd, NULL, NULL);
        if (connection->fd < 0) {
          free(connection);
          continue;
        }
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        epoll_ctl(poll, EPOLL_CTL_ADD, connection->fd, &event);
      } else {
        Connection *connection = which;
        if (!serve(connection)) {
          close(connection->fd);
          free(connection);
        }
      }
    }
  }
}

// A small proxy-Wasm host (ABI 0.2.1) on the V8 of Node.js: the counterpart of native/wasm_filter.c, with the same
// requests, the same order of callbacks and the same answer.
// usage: node filter_host.js FILTER CONFIGURATION COPIES REQUESTS BATCHES
'use strict';
const fs = require('fs');

const [file, configuration, ...rest] = process.argv.slice(2);
const [copies, requests, batches] = rest.map(Number);
const OK = 0, NOT_FOUND = 1, PLUGIN_CONFIGURATION = 7;
const bytesOf = (text) => Buffer.from(text, 'latin1');
const lists = { 0: [], 2: [] };
const module_ = new WebAssembly.Module(fs.readFileSync(file));
const settings = bytesOf(configuration);
let added = 0;
let running = null; // whose callback is under way

const sent = [[':authority', 'service'], [':path', '/measured'], [':method', 'GET'],
  ['x-request-id', '00000000-0000-0000-0000-000000000000']].map(([k, v]) => [bytesOf(k), bytesOf(v)]);
const answered = [[':status', '200'], ['content-length', '64']].map(([k, v]) => [bytesOf(k), bytesOf(v)]);

function same(ram, at, size, key) {
  if (key.length !== size) return false;
  for (let i = 0; i < size; i++) if (ram[at + i] !== key[i]) return false;
  return true;
}

// Give the guest some bytes, in memory that it allocates, as the ABI wants.
function give(bytes, where, whereSize) {
  const address = running.guest.proxy_on_memory_allocate(bytes.length);
  running.ram.set(bytes, address);
  running.words.setInt32(where, address, true);
  running.words.setInt32(whereSize, bytes.length, true);
  return OK;
}

const env = {
  proxy_get_header_map_value(map, key, size, where, whereSize) {
    const list = lists[map] || [];
    for (let i = 0; i < list.length; i++)
      if (same(running.ram, key, size, list[i][0])) return give(list[i][1], where, whereSize);
    return NOT_FOUND;
  },
  proxy_add_header_map_value(map, key, keySize, value, valueSize) {
    if (!lists[map]) return NOT_FOUND;
    lists[map].push([running.ram.slice(key, key + keySize), running.ram.slice(value, value + valueSize)]);
    added++;
    return OK;
  },
  proxy_get_buffer_bytes(buffer, start, length, where, whereSize) {
    if (buffer !== PLUGIN_CONFIGURATION) return NOT_FOUND;
    return give(settings.subarray(start, start + length), where, whereSize);
  },
};

function start() {
  const guest = new WebAssembly.Instance(module_, { env }).exports;
  const plugin = { guest, ram: new Uint8Array(guest.memory.buffer), words: new DataView(guest.memory.buffer) };
  running = plugin;
  guest._initialize();
  guest.proxy_on_context_create(1, 0);
  if (!guest.proxy_on_vm_start(1, 0) || !guest.proxy_on_configure(1, settings.length))
    throw new Error('the filter refused its configuration');
  return plugin;
}

function request(plugins, stream) {
  lists[0] = sent.slice();
  lists[2] = answered.slice();
  for (const plugin of plugins) {
    running = plugin;
    plugin.guest.proxy_on_context_create(stream, 1);
    plugin.guest.proxy_on_request_headers(stream, lists[0].length, 1);
  }
  for (let i = plugins.length - 1; i >= 0; i--) {
    running = plugins[i];
    running.guest.proxy_on_response_headers(stream, lists[2].length, 1);
  }
  for (const plugin of plugins) {
    running = plugin;
    plugin.guest.proxy_on_done(stream);
    plugin.guest.proxy_on_log(stream);
    plugin.guest.proxy_on_delete(stream);
  }
}

const began = Number(process.hrtime.bigint());
const plugins = Array.from({ length: copies }, start);
const start_ns = Number(process.hrtime.bigint()) - began;
let stream = 2;
for (let i = 0; i < 4 * requests; i++) request(plugins, stream++); // hot enough for the better compilers
added = 0;
const request_ns = [];
for (let batch = 0; batch < batches; batch++) {
  const before = process.cpuUsage();
  for (let i = 0; i < requests; i++) request(plugins, stream++);
  const used = process.cpuUsage(before);
  request_ns.push((1000 * (used.user + used.system)) / requests);
}
console.log(JSON.stringify({ request_ns, start_ns, added: added / (requests * batches) }));

// Measures the V8 inside Node.js; the counterpart of native/wasm_runtime.c, with the same modes and answers.
// usage: node runtime.js compile FILE COUNT | instances WORK COUNT | calls WORK COUNT | memory ECHO N… |
//        compute WORK KIND LENGTH TIMES BATCHES
// How V8 compiles is chosen by node's own flags: lazily (its default), or everything at once by one of its compilers.
'use strict';
const fs = require('fs');

const BATCHES = 40;
const now = () => Number(process.hrtime.bigint());
const imports = { env: { host: (value) => value + 1 } };
const [mode, file, ...rest] = process.argv.slice(2);
const bytes = fs.readFileSync(file);

function privateBytes() {
  let total = 0;
  for (const line of fs.readFileSync('/proc/self/smaps_rollup', 'utf8').split('\n')) {
    const found = /^Private_Dirty:\s+(\d+)/.exec(line);
    if (found) total += found[1] * 1024;
  }
  return total;
}

function instance(module) {
  return new WebAssembly.Instance(module, imports).exports;
}

function compile(count) {
  const compile_ns = [];
  for (let i = 0; i < count; i++) {
    // V8 shares the code of equal modules: a custom section of its own makes each one different.
    const own = Buffer.concat([bytes, Buffer.from([0, 6, 1, 0x78, ...Buffer.from(String(1000 + i))])]);
    const start = process.cpuUsage(); // of all threads
    new WebAssembly.Module(own);
    const used = process.cpuUsage(start);
    compile_ns.push(1000 * (used.user + used.system));
  }
  return { compile_ns };
}

function instances(count) {
  const module = new WebAssembly.Module(bytes);
  const instantiate_ns = [], first_call_ns = [];
  for (let i = -20; i < count; i++) {
    const start = now();
    const guest = instance(module);
    const ready = now();
    guest.hash_work(64, 1);
    const done = now();
    if (i < 0) continue;
    instantiate_ns.push(ready - start);
    first_call_ns.push(done - ready);
  }
  return { instantiate_ns, first_call_ns };
}

function calls(count) {
  const guest = instance(new WebAssembly.Module(bytes));
  const call_ns = [], host_call_ns = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    let value = 0;
    let start = now();
    for (let i = 0; i < count; i++) value += guest.empty(i);
    call_ns.push((now() - start) / count);
    start = now();
    if (guest.call_host(count) !== count || value === 1) throw new Error('host was not called');
    host_call_ns.push((now() - start) / count);
  }
  return { call_ns, host_call_ns };
}

function memory(counts) {
  const module = new WebAssembly.Module(bytes);
  const request = Buffer.from('GET /measured HTTP/1.1\r\nhost: a\r\n\r\n');
  const alive = [];
  const found = [];
  for (const wanted of counts) {
    while (alive.length < wanted) {
      const guest = instance(module);
      new Uint8Array(guest.memory.buffer).set(request, guest.input());
      if (!guest.handle(request.length)) throw new Error('no answer');
      alive.push(guest);
    }
    if (global.gc) global.gc();
    found.push(privateBytes());
  }
  return { bytes: found };
}

function compute(kind, length, times, batches) {
  const guest = instance(new WebAssembly.Module(bytes));
  guest.fill();
  const ns_per_byte = [];
  let value = 0;
  for (let i = 0; i < 200; i++) guest[`${kind}_work`](length, 1); // hot enough for the better compiler
  for (let batch = 0; batch < batches; batch++) {
    const start = now();
    value = guest[`${kind}_work`](length, times);
    ns_per_byte.push((now() - start) / (length * times));
  }
  return { ns_per_byte, value: value >>> 0 };
}

const numbers = rest.map(Number);
const modes = {
  compile: () => compile(numbers[0]),
  instances: () => instances(numbers[0]),
  calls: () => calls(numbers[0]),
  memory: () => memory(numbers),
  compute: () => compute(rest[0], numbers[1], numbers[2], numbers[3]),
};
console.log(JSON.stringify(modes[mode]()));

"""All chapters, in the order in which they build on each other."""

from meshsim.app.learn import ebpf, fan_out, node_proxy, one_hop, queue, retries, sidecar, wasm
from meshsim.app.learn.chapter import Chapter

CHAPTERS: tuple[Chapter, ...] = (
    one_hop.CHAPTER,
    queue.CHAPTER,
    fan_out.CHAPTER,
    sidecar.CHAPTER,
    node_proxy.CHAPTER,
    ebpf.CHAPTER,
    wasm.CHAPTER,
    retries.CHAPTER,
)

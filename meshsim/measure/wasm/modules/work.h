// Work that is the same in a Wasm module and in a native program: a hash over bytes, each step waiting for the last.
static inline unsigned fnv(const unsigned char *bytes, unsigned length, unsigned hash) {
  for (unsigned i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

// Work that can be vectorised and touches memory: what a checksum of a body does.
static inline unsigned sum(const unsigned char *bytes, unsigned length, unsigned start) {
  unsigned a = start & 0xffff, b = start >> 16;
  for (unsigned i = 0; i < length; i++) {
    a = (a + bytes[i]) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

// Work with branches that depend on data: words and digits of a text, as parsers do.
static inline unsigned parse(const unsigned char *bytes, unsigned length, unsigned count) {
  for (unsigned i = 0, inside = 0, number = 0; i < length; i++) {
    unsigned char c = bytes[i];
    if (c >= '0' && c <= '9') number = number * 10 + c - '0';
    else if ((c | 32) >= 'a' && (c | 32) <= 'z') inside = 1;
    else {
      count += inside + (number & 7);
      inside = number = 0;
    }
  }
  return count;
}

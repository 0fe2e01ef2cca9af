/**
 * Numbers the pieces of one text of bytes in the order in which they are met first. Millions of lines repeat a thousand names, and none of them becomes
 * a string.
 */

const FIRST_SLOTS = 1024;

export class ByteTable {
  /** How many different pieces there are. */
  count = 0;
  /** Where each begins and ends in the text. */
  from = new Int32Array(FIRST_SLOTS / 2);
  to = new Int32Array(FIRST_SLOTS / 2);
  /** To whom each belongs. */
  owner = new Int32Array(FIRST_SLOTS / 2);
  readonly #bytes: Uint8Array;
  #hashes = new Int32Array(FIRST_SLOTS / 2);
  /** A number and one; 0: free. */
  #slots = new Int32Array(FIRST_SLOTS);

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /**
   * @param hash of the piece and its owner, in any way that is the same for the same
   * @returns its number: what {@link count} was before, if it is new
   */
  place(from: number, to: number, owner: number, hash: number): number {
    const mixed = mix(hash);
    const mask = this.#slots.length - 1;
    for (let slot = mixed & mask; ; slot = (slot + 1) & mask) {
      const at = this.#slots[slot] - 1;
      if (at < 0) return this.#add(slot, from, to, owner, mixed);
      if (this.#hashes[at] === mixed && this.owner[at] === owner && this.#isEqual(at, from, to)) return at;
    }
  }

  #isEqual(at: number, from: number, to: number): boolean {
    const bytes = this.#bytes;
    const start = this.from[at];
    if (this.to[at] - start !== to - from) return false;
    for (let i = start, j = from; j < to; i++, j++) if (bytes[i] !== bytes[j]) return false;
    return true;
  }

  #add(slot: number, from: number, to: number, owner: number, hash: number): number {
    const at = this.count++;
    if (at === this.from.length) this.#grow();
    this.from[at] = from;
    this.to[at] = to;
    this.owner[at] = owner;
    this.#hashes[at] = hash;
    this.#slots[slot] = at + 1;
    if (this.count * 2 > this.#slots.length) this.#widen();
    return at;
  }

  #grow(): void {
    this.from = grown(this.from);
    this.to = grown(this.to);
    this.owner = grown(this.owner);
    this.#hashes = grown(this.#hashes);
  }

  #widen(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let at = 0; at < this.count; at++) {
      let slot = this.#hashes[at] & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = at + 1;
    }
    this.#slots = slots;
  }
}

/** Twice as long. */
export function grown<T extends Int32Array | Uint8Array>(array: T): T {
  const longer = new (array.constructor as new (length: number) => T)(array.length * 2);
  longer.set(array);
  return longer;
}

/** So that every bit of a hash says something of all bytes (MurmurHash3's last step). */
function mix(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

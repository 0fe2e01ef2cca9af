/** Cuts a stream of byte pieces of any size into blocks of one size. */

export class BlockCutter {
  readonly #blockBytes: number;
  #pieces: Uint8Array[] = [];
  #pending = 0;

  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes;
  }

  /** Whole blocks that the piece completes, each in memory of its own (so that any typed array may view it). */
  *push(piece: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < piece.length;) {
      const length = Math.min(this.#blockBytes - this.#pending, piece.length - at);
      this.#pieces.push(piece.subarray(at, at + length));
      this.#pending += length;
      at += length;
      if (this.#pending === this.#blockBytes) yield this.rest();
    }
  }

  /** What is left after the last whole block: fewer bytes than a block, perhaps none. */
  rest(): Uint8Array {
    const block = joinBytes(this.#pieces);
    this.#pieces = [];
    this.#pending = 0;
    return block;
  }
}

/** The pieces one after the other, in fresh memory. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

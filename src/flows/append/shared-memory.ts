/**
 * Memory for small arrays side by side. Thousands of arrays with memory of their own cost the garbage collector more
 * than all work on them.
 */
import { bytesOf, DTYPES, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';

const BLOCK_BYTES = 256 * 1024;
/** Arrays that are larger have memory of their own already. */
const SMALL_BYTES = 4096;
/** Arrays begin at multiples of this, so that any array may begin where another one has ended. */
const ALIGNMENT = 8;

export class SharedMemory {
  #block = new ArrayBuffer(0);
  #views = new Map<Dtype, SampleArray>();
  #used = 0;

  /** @returns the bytes of the array, which nobody changes any more */
  keep(dtype: Dtype, array: SampleArray): Uint8Array {
    const { byteLength } = array;
    if (byteLength > SMALL_BYTES) return bytesOf(array);
    if (this.#used + byteLength > this.#block.byteLength) {
      this.#block = new ArrayBuffer(BLOCK_BYTES);
      this.#views = new Map();
      this.#used = 0;
    }
    let view = this.#views.get(dtype);
    if (!view) this.#views.set(dtype, (view = new DTYPES[dtype].array(this.#block)));
    (view as Float64Array).set(array as Float64Array, this.#used / DTYPES[dtype].bytes);
    const bytes = new Uint8Array(this.#block, this.#used, byteLength);
    this.#used += Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
    return bytes;
  }
}

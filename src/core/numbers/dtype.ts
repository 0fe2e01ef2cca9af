/** The ten number types a series may have, with everything that depends on the type alone. */

export type Dtype =
  'int8' | 'int16' | 'int32' | 'int64' | 'uint8' | 'uint16' | 'uint32' | 'uint64' | 'float32' | 'float64';

/** A typed array of any of the ten types. 64-bit integers are bigint arrays: they never pass through a double. */
export type SampleArray =
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

type SampleArrayConstructor = {
  new (length: number): SampleArray;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): SampleArray;
};

export interface DtypeInfo {
  readonly name: Dtype;
  /** Bytes of one value. */
  readonly bytes: number;
  readonly kind: 'int' | 'float';
  /** NumPy's type string, little-endian (NEP 1, the `.npy` header's `descr`). */
  readonly npy: string;
  readonly array: SampleArrayConstructor;
  /** Smallest and largest storable integer; absent for floats. */
  readonly range?: { readonly min: bigint; readonly max: bigint };
}

function info(name: Dtype, bytes: number, npy: string, array: unknown): DtypeInfo {
  const signed = !name.startsWith('u');
  const kind = name.startsWith('float') ? 'float' : 'int';
  const bits = BigInt(bytes * 8);
  const range = signed
    ? { min: -(1n << (bits - 1n)), max: (1n << (bits - 1n)) - 1n }
    : { min: 0n, max: (1n << bits) - 1n };
  const base = { name, bytes, kind, npy, array: array as SampleArrayConstructor } as const;
  return kind === 'int' ? { ...base, range } : base;
}

export const DTYPES: Readonly<Record<Dtype, DtypeInfo>> = {
  int8: info('int8', 1, '|i1', Int8Array),
  int16: info('int16', 2, '<i2', Int16Array),
  int32: info('int32', 4, '<i4', Int32Array),
  int64: info('int64', 8, '<i8', BigInt64Array),
  uint8: info('uint8', 1, '|u1', Uint8Array),
  uint16: info('uint16', 2, '<u2', Uint16Array),
  uint32: info('uint32', 4, '<u4', Uint32Array),
  uint64: info('uint64', 8, '<u8', BigUint64Array),
  float32: info('float32', 4, '<f4', Float32Array),
  float64: info('float64', 8, '<f8', Float64Array),
};

export const DTYPE_NAMES = Object.keys(DTYPES) as [Dtype, ...Dtype[]];

/** True where values are bigint (int64, uint64). */
export function isBigDtype(dtype: Dtype): boolean {
  return dtype === 'int64' || dtype === 'uint64';
}

/**
 * A typed view over little-endian bytes, without a copy where the offset is aligned.
 * @param bytes a whole number of values
 */
export function viewAs(dtype: Dtype, bytes: Uint8Array): SampleArray {
  const { array, bytes: size } = DTYPES[dtype];
  if (bytes.byteOffset % size === 0) return new array(bytes.buffer, bytes.byteOffset, bytes.byteLength / size);
  const copy = new Uint8Array(bytes); // not slice(), which of a Buffer is a view of the same unaligned bytes
  return new array(copy.buffer, 0, copy.byteLength / size);
}

/** The value that a decimal text says, as arrays of the type hold it. */
export function parseNumber(dtype: Dtype, text: string): number | bigint {
  return isBigDtype(dtype) ? BigInt(text) : Number(text);
}

/** The little-endian bytes under a typed array (Varve runs on little-endian machines only, as Node does in practice). */
export function bytesOf(array: SampleArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/**
 * The smallest dtype that holds every value of all of these exactly; undefined if none does, as for int64 beside a float.
 * @param dtypes one at least
 */
export function commonDtype(dtypes: readonly Dtype[]): Dtype | undefined {
  const bitsOf = (isMeant: (dtype: Dtype) => boolean): number =>
    Math.max(0, ...dtypes.filter(isMeant).map((dtype) => DTYPES[dtype].bytes * 8));
  const floats = bitsOf((dtype) => DTYPES[dtype].kind === 'float');
  const unsigned = bitsOf((dtype) => dtype.startsWith('uint'));
  const signed = bitsOf((dtype) => dtype.startsWith('int'));
  if (floats > 0) {
    // A float32 has 24 bits of precision, a float64 53.
    const integers = Math.max(unsigned, signed);
    if (integers > 32) return undefined;
    return floats === 64 || integers > 16 ? 'float64' : 'float32';
  }
  if (signed === 0) return `uint${unsigned}` as Dtype;
  const bits = Math.max(signed, unsigned * 2);
  return bits > 64 ? undefined : (`int${bits}` as Dtype);
}

/** The same values as another dtype, which must hold them; the array itself if it is of the dtype. */
export function castTo(dtype: Dtype, values: SampleArray): SampleArray {
  const { array } = DTYPES[dtype];
  if (values instanceof array) return values;
  const out = new array(values.length);
  if (isBigDtype(dtype)) for (let i = 0; i < out.length; i++) out[i] = BigInt(values[i]);
  else for (let i = 0; i < out.length; i++) out[i] = Number(values[i]);
  return out;
}

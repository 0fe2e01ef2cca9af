/** The ten number types of the contract, and values that are hard to keep: extremes, and what a double or a text would bend. */

export type NumberType =
  'int8' | 'int16' | 'int32' | 'int64' | 'uint8' | 'uint16' | 'uint32' | 'uint64' | 'float32' | 'float64';

export type Values =
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

interface TypeInfo {
  readonly npy: string;
  readonly isBig: boolean;
  readonly array: { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer): Values };
  of(items: readonly (number | bigint)[]): Values;
  /** An even number of them, for rows of two channels. */
  readonly hard: readonly (number | bigint)[];
}

function info(
  npy: string,
  array: { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer): Values; from(items: never): Values },
  hard: readonly (number | bigint)[],
): TypeInfo {
  return { npy, array, hard, isBig: typeof hard[0] === 'bigint', of: (items) => array.from(items as never) };
}

const SPECIAL = [NaN, Infinity, -Infinity, -0, 0, 0.1, -2.5, 16_777_217];

export const DTYPES: Readonly<Record<NumberType, TypeInfo>> = {
  int8: info('|i1', Int8Array, [-128, 127, 0, -1, 1, 13]),
  int16: info('<i2', Int16Array, [-32_768, 32_767, 0, -1, 256, 255]),
  int32: info('<i4', Int32Array, [-(2 ** 31), 2 ** 31 - 1, 0, -1, 65_536, 7]),
  int64: info('<i8', BigInt64Array, [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, 0n, -1n]),
  uint8: info('|u1', Uint8Array, [0, 255, 1, 128]),
  uint16: info('<u2', Uint16Array, [0, 65_535, 1, 256]),
  uint32: info('<u4', Uint32Array, [0, 2 ** 32 - 1, 1, 65_536]),
  uint64: info('<u8', BigUint64Array, [0n, 2n ** 64n - 1n, 2n ** 53n + 1n, 2n ** 63n]),
  float32: info('<f4', Float32Array, [...SPECIAL, 1.401298464324817e-45, 3.4028234663852886e38]),
  float64: info('<f8', Float64Array, [...SPECIAL, 5e-324, 1.7976931348623157e308, 1 / 3, 2 ** 53 + 2]),
};

export const DTYPE_NAMES = Object.keys(DTYPES) as NumberType[];

export function bytesOf(values: Values): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

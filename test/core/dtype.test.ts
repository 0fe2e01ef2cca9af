import { describe, expect, test } from '@jest/globals';
import {
  bytesOf,
  castTo,
  commonDtype,
  DTYPE_NAMES,
  DTYPES,
  isBigDtype,
  viewAs,
  type Dtype,
} from '../../src/core/numbers/dtype.ts';

describe.each(DTYPE_NAMES)('%s', (dtype) => {
  const { bytes: size, array } = DTYPES[dtype];
  const BYTES = Uint8Array.from({ length: 5 * size }, (_, i) => (i * 37 + 11) & 0x7f);
  const wanted = new array(BYTES.buffer, 0, 5);

  test('its bytes are read at any offset', () => {
    for (let offset = 0; offset < 17; offset++) {
      const around = new Uint8Array(offset + BYTES.length + 3).fill(0xff);
      around.set(BYTES, offset);
      expect(viewAs(dtype, around.subarray(offset, offset + BYTES.length))).toEqual(wanted);
    }
  });

  test('so are those of a Buffer, whose slice is no copy', () => {
    for (let offset = 0; offset < 17; offset++) {
      const around = Buffer.alloc(offset + BYTES.length + 3, 0xff);
      around.set(BYTES, offset);
      expect(viewAs(dtype, around.subarray(offset, offset + BYTES.length))).toEqual(wanted);
    }
  });

  test('an aligned view is no copy', () => {
    const bytes = Uint8Array.from(BYTES);
    expect(viewAs(dtype, bytes).buffer).toBe(bytes.buffer);
  });

  test('there and back are the same bytes, also of a part', () => {
    expect(bytesOf(viewAs(dtype, BYTES))).toEqual(BYTES);
    expect(bytesOf(wanted.subarray(1, 3))).toEqual(BYTES.subarray(size, 3 * size));
  });

  test('its facts agree with its array', () => {
    expect(array.name.replace('Big', '').replace('Array', '').toLowerCase()).toBe(dtype);
    expect(DTYPES[dtype].npy).toBe(`${size === 1 ? '|' : '<'}${dtype.startsWith('f') ? 'f' : dtype[0]}${size}`);
    expect(isBigDtype(dtype)).toBe(typeof wanted[0] === 'bigint');
  });
});

test.each<[Dtype, bigint, bigint]>([
  ['int8', -128n, 127n],
  ['uint8', 0n, 255n],
  ['int16', -32_768n, 32_767n],
  ['uint16', 0n, 65_535n],
  ['int32', -(2n ** 31n), 2n ** 31n - 1n],
  ['uint32', 0n, 2n ** 32n - 1n],
  ['int64', -(2n ** 63n), 2n ** 63n - 1n],
  ['uint64', 0n, 2n ** 64n - 1n],
])('%s goes from %s to %s', (dtype, min, max) => {
  expect(DTYPES[dtype].range).toEqual({ min, max });
});

test.each<Dtype>(['float32', 'float64'])('%s has no range of integers', (dtype) => {
  expect(DTYPES[dtype].range).toBeUndefined();
});

describe('several dtypes', () => {
  test.each<[Dtype[], Dtype | undefined]>([
    [['int16'], 'int16'],
    [['int16', 'int16'], 'int16'],
    [['int8', 'int32'], 'int32'],
    [['uint8', 'uint16'], 'uint16'],
    [['uint8', 'int8'], 'int16'],
    [['uint32', 'int8'], 'int64'],
    [['uint64', 'int8'], undefined],
    [['uint64', 'uint8'], 'uint64'],
    [['float32', 'int16'], 'float32'],
    [['float32', 'uint16', 'int16'], 'float32'],
    [['float32', 'int32'], 'float64'],
    [['float32', 'float64'], 'float64'],
    [['float64', 'uint32'], 'float64'],
    [['float64', 'int64'], undefined],
    [['float32', 'uint64'], undefined],
  ])('%s have %s in common', (dtypes, expected) => {
    expect(commonDtype(dtypes)).toBe(expected);
    expect(commonDtype(dtypes.toReversed())).toBe(expected);
  });

  test.each(DTYPE_NAMES)('%s survives as each dtype that it has in common with another', (dtype) => {
    const { range, array } = DTYPES[dtype];
    const extremes = range ? [range.min, range.max] : [-1.5, 3.402_823_466_385_288_6e38];
    const values = new array(2);
    extremes.forEach((value, i) => (values[i] = isBigDtype(dtype) ? BigInt(value) : Number(value)));
    for (const other of DTYPE_NAMES) {
      const common = commonDtype([dtype, other]);
      if (common) expect(castTo(dtype, castTo(common, values))).toEqual(values);
    }
  });
});

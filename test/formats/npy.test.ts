import { describe, expect, test } from '@jest/globals';
import { bytesOf, DTYPE_NAMES, viewAs } from '../../src/core/numbers/dtype.ts';
import { decodeNpy, encodeNpy, npyHeader, readNpyHeader } from '../../src/formats/samples/npy.ts';
import { describePython } from '../support/python.ts';
import { arrayOf, bytesFrom, outBatches, outShapeOf, rowsOf, shapeOf, streamOf } from './streams.ts';

function npyFile(dict: string, data: Uint8Array | string = '', version = 1): Buffer {
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  if (version === 1) length.writeUInt16LE(dict.length);
  else length.writeUInt32LE(dict.length);
  return Buffer.concat([
    Buffer.from('\x93NUMPY', 'latin1'),
    Buffer.from([version, 0]),
    length,
    Buffer.from(dict),
    Buffer.from(data),
  ]);
}

function dictOf(descr: string, shape: string, fortran = 'False'): string {
  return `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }`;
}

const BAD = 'invalid-input';
const WRONG = 'unprocessable';
const TWO = Buffer.alloc(16);

describe('a bad .npy body is refused and the error names the body', () => {
  test.each<[string, Buffer, string]>([
    ['another format', Buffer.from('PK\x03\x04'), BAD],
    ['nothing', Buffer.alloc(0), BAD],
    ['a torn head', npyFile(dictOf("'<f8'", '(2,)'), TWO).subarray(0, 30), BAD],
    ['version 9', npyFile(dictOf("'<f8'", '(2,)'), TWO, 9), BAD],
    ['a header of 2 GiB', Buffer.from('\x93NUMPY\x02\x00\x00\x00\x00\x80', 'latin1'), BAD],
    ['a body in mid-row', npyFile(dictOf("'<f8'", '(2,)'), TWO.subarray(1)), BAD],
    ['fewer rows than the header says', npyFile(dictOf("'<f8'", '(3,)'), TWO), BAD],
    ['more rows than the header says', npyFile(dictOf("'<f8'", '(1,)'), TWO), BAD],
    ['a petabyte of rows', npyFile(dictOf("'<f8'", '(1000000000000000,)'), TWO), BAD],
    ['a count beyond 2^53', npyFile(dictOf("'<f8'", '(99999999999999999999,)'), TWO), BAD],
    ['a product beyond 2^53', npyFile(dictOf("'<f8'", '(9007199254740991,)'), TWO), BAD],
    ['a negative count', npyFile(dictOf("'<f8'", '(-1,)'), TWO), BAD],
    ['code instead of a dict', npyFile('__import__("os")', TWO), BAD],
    ['nested brackets without end', npyFile('('.repeat(60_000), TWO), BAD],
    ['a missing key', npyFile("{'descr': '<f8', 'shape': (2,)}", TWO), BAD],
    ['a key too many', npyFile("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'x': 1}", TWO), BAD],
    ['text after the dict', npyFile(`${dictOf("'<f8'", '(2,)')} 1`, TWO), BAD],
    ['another dtype', npyFile(dictOf("'<f4'", '(4,)'), TWO), WRONG],
    ['complex numbers', npyFile(dictOf("'<c16'", '(1,)'), TWO), WRONG],
    ['objects', npyFile(dictOf("'|O'", '(2,)'), TWO), WRONG],
    ['two channels for one', npyFile(dictOf("'<f8'", '(1, 2)'), TWO), WRONG],
    ['no dimension', npyFile(dictOf("'<f8'", '()'), TWO.subarray(8)), WRONG],
    ['three dimensions', npyFile(dictOf("'<f8'", '(2, 1, 1)'), TWO), WRONG],
    ['no channels', npyFile(dictOf("'<f8'", '(2, 0)')), WRONG],
    ['times in a regular series', npyFile(dictOf("[('time', '<i8'), ('values', '<f8')]", '(1,)'), TWO), WRONG],
    ['other fields', npyFile(dictOf("[('t', '<i8'), ('values', '<f8')]", '(1,)'), TWO), WRONG],
    ['a list of nothing', npyFile(dictOf('[]', '(1,)'), TWO), WRONG],
  ])('%s', async (_, body, code) => {
    for (const pieceBytes of [3, 65_536]) {
      await expect(
        rowsOf(decodeNpy(streamOf(body, pieceBytes), shapeOf('float64', 1, 'regular'))),
      ).rejects.toMatchObject({
        code,
        errors: [{ field: 'body' }],
      });
    }
  });

  test.each([
    ["'<f8'", '(2,)'],
    ["[('time', '<f8'), ('values', '<f8')]", '(1,)'],
    ["[('time', '<M8[us]'), ('values', '<f8')]", '(1,)'],
    ["[('time', '<i8'), ('values', '<f8', (1, 1))]", '(1,)'],
    ["[('time', '<i8'), ('values', [('x', '<f8')])]", '(1,)'],
    ["[('time', '<i8'), ('values', '<f8'), ('', '|V4')]", '(1,)'],
    ["[('time', '<i8'), ('values', '<f8')]", '(1, 1)'],
  ])('an irregular series refuses %s of shape %s', async (descr, shape) => {
    const decoding = rowsOf(
      decodeNpy(streamOf(npyFile(dictOf(descr, shape), TWO)), shapeOf('float64', 1, 'irregular')),
    );
    await expect(decoding).rejects.toMatchObject({ code: WRONG, errors: [{ field: 'body' }] });
  });

  test('Fortran order is refused where it matters and read where it does not', async () => {
    const two = dictOf("'<f8'", '(2, 2)', 'True');
    const decoding = rowsOf(decodeNpy(streamOf(npyFile(two, Buffer.alloc(32))), shapeOf('float64', 2, 'regular')));
    await expect(decoding).rejects.toMatchObject({ code: WRONG });
    const one = npyFile(dictOf("'<f8'", '(1, 2)', 'True'), TWO);
    expect((await rowsOf(decodeNpy(streamOf(one), shapeOf('float64', 2, 'regular')))).rows).toBe(1);
  });
});

test('the head alone says where the rows begin: at a multiple of 64', () => {
  for (const channels of [1, 2, 384]) {
    for (const kind of ['regular', 'irregular'] as const) {
      const header = npyHeader(outShapeOf(shapeOf('int16', channels, kind), 123_456_789));
      expect(header.length % 64).toBe(0);
      expect(readNpyHeader(header)).toMatchObject({
        rows: 123_456_789,
        channels,
        dtype: 'int16',
        dataOffset: header.length,
      });
      expect(readNpyHeader(header.subarray(0, header.length - 1))).toBeUndefined();
    }
  }
});

describePython('NumPy', ['numpy'], (run) => {
  const SAVE = (array: string): string =>
    `import sys, io, numpy as np\nb = io.BytesIO()\nnp.save(b, ${array})\nsys.stdout.buffer.write(b.getvalue())`;

  test.each(DTYPE_NAMES)('np.load reads an encoded %s array to the same bytes', async (dtype) => {
    const values = arrayOf(
      dtype,
      dtype.endsWith('64') && dtype !== 'float64' ? [1n, 2n, 3n, 4n, 5n, 6n] : [1, 2, 3, 4, 5, 6],
    );
    const times = new BigInt64Array([5n, -6n, 7n]);
    const script = `
import sys, io, numpy as np
a = np.load(io.BytesIO(sys.stdin.buffer.read()))
if a.dtype.names:
    assert a.shape == (3,) and a['time'].tolist() == [5, -6, 7], a
    a = a['values']
assert a.dtype == np.${dtype} and a.shape == (3, 2), (a.dtype, a.shape)
sys.stdout.buffer.write(a.tobytes())`;
    for (const kind of ['regular', 'irregular'] as const) {
      const sent = await bytesFrom(encodeNpy(outBatches(values, times, 2), outShapeOf(shapeOf(dtype, 2, kind), 3)));
      expect(run(script, sent).equals(bytesOf(values))).toBe(true);
    }
  });

  test('arrays that np.save wrote are read, in either byte order, of every dtype and version', async () => {
    const script = `
import io, sys, numpy as np
for name in ${JSON.stringify(DTYPE_NAMES)}:
    for order in '<>':
        for version in ((1, 0), (2, 0), (3, 0)):
            b = io.BytesIO()
            np.lib.format.write_array(b, np.arange(6).reshape(3, 2).astype(np.dtype(name).newbyteorder(order)), version)
            sys.stdout.buffer.write(len(b.getvalue()).to_bytes(4, 'little') + b.getvalue())`;
    const out = run(script);
    let at = 0;
    for (const dtype of DTYPE_NAMES) {
      for (let i = 0; i < 6; i++) {
        const length = out.readUInt32LE(at);
        const file = out.subarray(at + 4, at + 4 + length);
        at += 4 + length;
        const { valueBytes } = await rowsOf(decodeNpy(streamOf(file, 50), shapeOf(dtype, 2, 'regular')));
        expect([...viewAs(dtype, valueBytes)].map(Number)).toEqual([0, 1, 2, 3, 4, 5]);
      }
    }
    expect(at).toBe(out.length);
  });

  test.each([
    ["np.array([(5, 1.5), (6, 2.5)], dtype=[('time', 'i8'), ('values', 'f8')])", 1, [1.5, 2.5]],
    [
      "np.array([((1.5, 2), 5), ((2.5, 3), 6)], dtype=[('values', 'f8', (2,)), ('time', 'M8[ns]')])",
      2,
      [1.5, 2, 2.5, 3],
    ],
    ["np.array([(5, (1.5,)), (6, (2.5,))], dtype=[('time', '>M8[ns]'), ('values', '>f8', (1,))])", 1, [1.5, 2.5]],
  ])('the structured array %s is read', async (array, channels, values) => {
    const got = await rowsOf(decodeNpy(streamOf(run(SAVE(array)), 33), shapeOf('float64', channels, 'irregular')));
    expect(got.times).toEqual([5n, 6n]);
    expect([...viewAs('float64', got.valueBytes)]).toEqual(values);
  });

  test('a structured int16 array, whose records are not aligned, is read', async () => {
    const array = "np.array([(5, (1, 2, 3)), (6, (4, 5, -6))], dtype=[('time', 'i8'), ('values', 'i2', (3,))])";
    const got = await rowsOf(decodeNpy(streamOf(run(SAVE(array))), shapeOf('int16', 3, 'irregular')));
    expect([...viewAs('int16', got.valueBytes)]).toEqual([1, 2, 3, 4, 5, -6]);
  });

  test('one-dimensional arrays, empty ones and a single Fortran column are read', async () => {
    for (const [array, rows] of [
      ['np.arange(3.)', 3],
      ['np.empty((0, 1))', 0],
      ['np.asfortranarray(np.arange(3.).reshape(3, 1))', 3],
    ] as const) {
      expect((await rowsOf(decodeNpy(streamOf(run(SAVE(array))), shapeOf('float64', 1, 'regular')))).rows).toBe(rows);
    }
  });

  test('NaT is refused', async () => {
    const array = "np.array([('NaT', 1.5)], dtype=[('time', 'M8[ns]'), ('values', 'f8')])";
    await expect(
      rowsOf(decodeNpy(streamOf(run(SAVE(array))), shapeOf('float64', 1, 'irregular'))),
    ).rejects.toMatchObject({
      code: BAD,
    });
  });
});

/** Tables in every format, read by others than the writer. */
import { describe, expect, test } from '@jest/globals';
import { tableFromIPC } from '@uwdata/flechette';
import { columnOf, type Table, type TableBatch } from '../../src/core/signal/sample-table.ts';
import { encodeTable, TABLE_FORMATS } from '../../src/formats/tables/table-formats.ts';
import { describePython } from '../support/python.ts';
import { bytesFrom, textFrom } from './streams.ts';

const NAMES = ['plain', 'with "quotes", comma\nand line', 'µV'];
const ROWS = 150_000;

const TABLE: Table = {
  columns: [
    { name: 'time', type: 'time' },
    { name: 'name', type: 'text', words: NAMES },
    { name: 'a,"b"', type: 'int16', nullable: true, about: { unit: 'mV' } },
    { name: 'big', type: 'uint64', nullable: true },
    { name: 'x', type: 'float64' },
  ],
  timeReference: 'utc',
  rows: ROWS,
  about: { series: [{ id: 'one' }], note: 'text' },
};

/** Row i of all: values that say their number, every third or seventh missing. */
const small = (i: number): number | null => (i % 3 === 0 ? null : i % 30_000);
const big = (i: number): bigint | null => (i % 7 === 0 ? null : 2n ** 63n + BigInt(i));

async function* batches(rows: number, size: number): AsyncGenerator<TableBatch> {
  for (let from = 0; from < rows; from += size) {
    const numbers = Array.from({ length: Math.min(size, rows - from) }, (_, i) => from + i);
    const [a, b] = [columnOf(numbers.map(small), 'int16'), columnOf(numbers.map(big), 'uint64')];
    yield {
      rows: numbers.length,
      columns: [
        BigInt64Array.from(numbers, (i) => BigInt(i) * 1000n),
        Int32Array.from(numbers, (i) => i % 3),
        a.data,
        b.data,
        Float64Array.from(numbers, (i) => (i === 1 ? NaN : i / 2)),
      ],
      present: [null, null, a.present, b.present, null],
    };
  }
}

test.each(['arrow', 'arrow-stream'] as const)(
  '%s has dictionaries, nulls and metadata over many batches',
  async (format) => {
    const table = tableFromIPC(await bytesFrom(encodeTable(format, batches(ROWS, 70_000), TABLE)), { useBigInt: true });
    expect(table.numRows).toBe(ROWS);
    for (const i of [0, 1, 2, 3, 7, 65_535, 65_536, 69_999, 70_000, ROWS - 1]) {
      const row = [table.getChild('name').at(i), table.getChild('a,"b"').at(i), table.getChild('big').at(i)];
      expect([i, ...row]).toEqual([i, NAMES[i % 3], small(i), big(i)]);
    }
    const nulls = [...table.getChild('a,"b"')].filter((value) => value === null).length;
    expect(nulls).toBe(ROWS / 3);
    expect(table.schema.metadata).toEqual(
      new Map([
        ['series', '[{"id":"one"}]'],
        ['note', 'text'],
      ]),
    );
    expect(table.schema.fields[2].metadata).toEqual(new Map([['unit', 'mV']]));
  },
);

test('relative times are durations', async () => {
  const relative = { ...TABLE, timeReference: 'relative' } as const;
  const table = tableFromIPC(await bytesFrom(encodeTable('arrow', batches(3, 3), relative)), { useBigInt: true });
  expect(table.getChild('time').at(2)).toBe(2000n);
  expect(String(table.schema.fields[0].type.typeId)).not.toBe(
    String(tableFromIPC(await bytesFrom(encodeTable('arrow', batches(3, 3), TABLE))).schema.fields[0].type.typeId),
  );
});

test('JSON says columns and data', async () => {
  expect(JSON.parse(await textFrom(encodeTable('json', batches(3, 2), TABLE)))).toEqual({
    series: [{ id: 'one' }],
    note: 'text',
    columns: [
      { name: 'time', type: 'time' },
      { name: 'name', type: 'text' },
      { name: 'a,"b"', type: 'int16', unit: 'mV' },
      { name: 'big', type: 'uint64' },
      { name: 'x', type: 'float64' },
    ],
    rows: 3,
    data: {
      time: ['0', '1000', '2000'],
      name: NAMES,
      'a,"b"': [null, 1, 2],
      big: [null, '9223372036854775809', '9223372036854775810'],
      x: [0, null, 1],
    },
  });
});

test('NDJSON has an object a row', async () => {
  const lines = (await textFrom(encodeTable('ndjson', batches(2, 1), TABLE))).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { time: '0', name: NAMES[0], 'a,"b"': null, big: null, x: 0 },
    { time: '1000', name: NAMES[1], 'a,"b"': 1, big: '9223372036854775809', x: null },
  ]);
});

test('no rows are a table, too', async () => {
  const numbers: Table = { ...TABLE, columns: [TABLE.columns[0], TABLE.columns[4]], rows: 0 };
  for (const format of TABLE_FORMATS) {
    const bytes = await bytesFrom(encodeTable(format, batches(0, 1), numbers));
    expect(format === 'ndjson' ? bytes.length === 0 : bytes.length > 0).toBe(true);
  }
});

describePython('NumPy and pandas', ['numpy', 'pandas'], (python) => {
  test('read CSV with quoted texts, and records of npy', async () => {
    const csv = await bytesFrom(encodeTable('csv', batches(3, 3), TABLE, { epoch: 'us' }));
    const read = `
import sys, io
import pandas as pd
frame = pd.read_csv(io.BytesIO(sys.stdin.buffer.read()))
print(frame.columns.tolist(), frame["time"].tolist(), frame["name"].tolist(), frame.iloc[:, 2].tolist(), frame["x"].tolist())`;
    expect(python(read, csv).toString().trim()).toBe(
      `['time', 'name', 'a,"b"', 'big', 'x'] [0, 1, 2] ['plain', 'with "quotes", comma\\nand line', 'µV'] [nan, 1.0, 2.0] [0.0, nan, 1.0]`,
    );
    const { columns } = TABLE;
    const numbers: Table = { ...TABLE, columns: [columns[0], columns[2], columns[4]], rows: 5 };
    async function* picked(): AsyncGenerator<TableBatch> {
      for await (const { rows, columns: all, present } of batches(5, 2)) {
        yield { rows, columns: [all[0], all[2], all[4]], present: [present[0], present[2], present[4]] };
      }
    }
    const load = `
import sys, io
import numpy as np
array = np.load(io.BytesIO(sys.stdin.buffer.read()))
print(array.dtype, array["time"].tolist(), array["values"].tolist())`;
    expect(
      python(load, await bytesFrom(encodeTable('npy', picked(), numbers)))
        .toString()
        .trim(),
    ).toBe(
      `[('time', '<i8'), ('values', '<f8', (2,))] [0, 1000, 2000, 3000, 4000] [[nan, 0.0], [1.0, nan], [2.0, 1.0], [nan, 1.5], [4.0, 2.0]]`,
    );
  });
});

describe('a JSON answer', () => {
  test('of more than two million values is refused', async () => {
    await expect(bytesFrom(encodeTable('json', batches(500_000, 100_000), TABLE))).rejects.toMatchObject({
      code: 'limit-exceeded',
      errors: [{ field: 'format' }],
    });
  });
});

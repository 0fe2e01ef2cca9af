/** The formats tables are answered in. */
import type { Table, TableBatch } from '../../core/signal/sample-table.ts';
import type { EpochUnit } from '../text/epoch-text.ts';
import { encodeTableArrow } from './table-arrow.ts';
import { encodeTableNpy } from './table-npy.ts';
import { encodeTableCsv, encodeTableJson, encodeTableNdjson } from './table-text.ts';

/** In order of preference where a client accepts several alike. Media types are those of samples. */
export const TABLE_FORMATS = ['json', 'ndjson', 'csv', 'npy', 'arrow', 'arrow-stream'] as const;
export type TableFormatName = (typeof TABLE_FORMATS)[number];

/** @param options epoch: of CSV, times as numbers of this unit */
export function encodeTable(
  format: TableFormatName,
  batches: AsyncIterable<TableBatch>,
  table: Table,
  options: { readonly epoch?: EpochUnit } = {},
): AsyncGenerator<Uint8Array> {
  switch (format) {
    case 'json':
      return encodeTableJson(batches, table);
    case 'ndjson':
      return encodeTableNdjson(batches, table);
    case 'csv':
      return encodeTableCsv(batches, table, options);
    case 'npy':
      return encodeTableNpy(batches, table);
    case 'arrow':
      return encodeTableArrow(batches, table, 'file');
    case 'arrow-stream':
      return encodeTableArrow(batches, table, 'stream');
  }
}

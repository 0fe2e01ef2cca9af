/**
 * A table of text as a recording: CSV, TSV and what instruments write that is nearly one. In wide form it has a time and
 * a column a channel. In long form it has columns that say whose row it is, such as the bioreactor of a reading.
 */
import { invalidField } from '../../core/errors.ts';
import type { Recording } from '../../core/signal/recording.ts';
import { joinBytes } from '../binary/block-cutter.ts';
import { asUtf8, sniffText, type SniffedText } from '../text/text-encoding.ts';
import { tableRows } from '../text/table-rows.ts';
import { delimiterName, delimiterOf, headRows, sniffDialect } from './table-layout.ts';
import { readRowsRecording, type RowsOptions, type TableText } from './rows-recording.ts';

export interface CsvRecordingOptions extends RowsOptions {
  /** Found by default: a character, or `tab`, `comma`, `semicolon`, `pipe`, `space`. */
  readonly delimiter?: string;
}

/** The shape of a table is told from so much of it. */
const SNIFF_BYTES = 1024 * 1024;
const HEAD_ROWS = 2000;
/** Text has no zeros, but for UTF-16. */
const NUL = 0;
const ENCODING_NAMES = {
  'utf-8': 'UTF-8',
  'utf-16le': 'UTF-16',
  'utf-16be': 'UTF-16',
  'windows-1252': 'Latin-1',
} as const;

/**
 * Makes irregular series of the file, as {@link readRowsRecording} says. Encoding, delimiter, header and decimal are found
 * where they are not told, and `notes` say what was chosen.
 *
 * The whole file is read and checked before this resolves, and once more for each series that is read: memory stays
 * bounded.
 * @param open reads the file from its start
 * @throws `invalid-input` naming the option, or line and column; `limit-exceeded` for over 1,000 series
 */
export async function readCsvRecording(
  open: () => AsyncIterable<Uint8Array>,
  options: CsvRecordingOptions,
): Promise<Recording> {
  const told = options.delimiter === undefined ? undefined : delimiterOf(options.delimiter);
  const text = await sniffText(open());
  const utf8 = (): AsyncIterable<Uint8Array> => asUtf8(open(), text);
  const head = await headOf(utf8());
  const notes = encodingNotes(text);
  const dialect = await sniffDialect(head, told);
  const sampled = await headRows(head, dialect);
  const table: TableText = {
    format: 'CSV',
    sample: sampled.slice(0, HEAD_ROWS),
    delimiter: dialect.delimiter,
    rows: (strictFrom) => tableRows(utf8(), dialect, strictFrom),
    facts: { encoding: ENCODING_NAMES[text.encoding], delimiter: delimiterName(dialect.delimiter) },
    notes:
      dialect.delimiter === ',' || told !== undefined
        ? notes
        : [...notes, `fields were split at ${delimiterName(dialect.delimiter)}, ${dialect.why}`],
  };
  return readRowsRecording(table, options);
}

function encodingNotes({ encoding }: SniffedText): string[] {
  if (encoding === 'utf-8') return [];
  return [encoding === 'windows-1252' ? 'the text is no UTF-8 and was read as Latin-1' : 'the text was read as UTF-16'];
}

/** The first megabyte, up to the end of a line. @throws `invalid-input` on `body` if it is no text */
async function headOf(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  for await (const piece of source) {
    head = joinBytes([head, piece]);
    if (head.length >= SNIFF_BYTES) break;
  }
  if (head.includes(NUL)) throw invalidField('body', 'is no text: it has bytes that no text has');
  if (head.every((byte) => byte <= 0x20)) throw invalidField('body', 'is empty');
  const end = head.lastIndexOf(0x0a);
  return head.length < SNIFF_BYTES || end < 0 ? head : head.subarray(0, end + 1);
}

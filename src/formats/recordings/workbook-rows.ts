/** Cells of a workbook as the texts that a table of text would have. */
import type { TableRow } from '../text/table-rows.ts';

/** A number is its digits as they stand in the file. */
export type WorkbookCell = string | boolean | Date | null;

/** Times without a date lie at the beginning of Excel's days. */
const FIRST_DAY_MS = Date.UTC(1899, 11, 30);
const LAST_TIME_MS = Date.UTC(1900, 11, 31);

/** Rows with the numbers that the workbook shows, without those that are empty. */
export function workbookRows(cells: readonly (readonly WorkbookCell[])[]): TableRow[] {
  return cells.flatMap((row, i) => {
    const fields = row.map(cellText);
    return fields.every((text) => text === '') ? [] : [{ line: i + 1, fields }];
  });
}

function cellText(cell: WorkbookCell): string {
  if (cell === null) return '';
  if (typeof cell === 'boolean') return cell ? 'TRUE' : 'FALSE';
  if (typeof cell === 'string') return cell.trim();
  const ms = cell.getTime();
  if (Number.isNaN(ms)) return '';
  if (ms < LAST_TIME_MS) return durationText(ms - FIRST_DAY_MS);
  const text = cell
    .toISOString()
    .replace('T', ' ')
    .replace('Z', '')
    .replace(/\.000$/, '');
  return text.replace(/ 00:00:00$/, '');
}

/** h:mm:ss, with as many hours as there are. */
function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const below = ms % 1000;
  const fraction = below === 0 ? '' : `.${String(below).padStart(3, '0')}`;
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${fraction}`;
}

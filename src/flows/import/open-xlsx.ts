/** Workbooks of Excel. */
import { basename } from 'node:path';
import { VarveError, invalidField, isVarveError, messageOf } from '../../core/errors.ts';
import { readRowsRecording } from '../../formats/recordings/rows-recording.ts';
import { workbookRows, type WorkbookCell } from '../../formats/recordings/workbook-rows.ts';
import { bytesOnDisk, sha256Of, tellLook, type RecordingOpener } from './source-files.ts';
import { tableOptions } from './table-options.ts';
import { zipMembers } from './zip-files.ts';

/** A workbook is held in memory: it may have so many cells. */
const MAX_CELLS = 4_000_000;
/** A file of more bytes has more than those. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const SAMPLE_ROWS = 2000;

/** @throws `limit-exceeded` for a workbook that is too large; `invalid-input` naming `sheet`, and as tables do */
export const openXlsx: RecordingOpener = async (file, name, options, onLook) => {
  const size = await bytesOnDisk([file]);
  if (size > MAX_FILE_BYTES) {
    throw new VarveError('limit-exceeded', `is over ${MAX_FILE_BYTES / 1024 / 1024} MiB: save the sheet as CSV`);
  }
  const source = { file: basename(file), sha256: await sha256Of([file], tellLook(onLook, size)) };
  // Each member is unpacked once with its size watched, before the library unpacks them unwatched.
  const members = await zipMembers(file, (each) => each.endsWith('.xml'));
  if (!members.some((member) => member.name === 'xl/workbook.xml'))
    throw invalidField('body', 'is a zip archive, and no workbook');
  const sheets = await sheetsOf(file);
  const chosen = chooseSheet(sheets, options.sheet);
  const cells = chosen.data.reduce((sum, row) => sum + row.length, 0);
  if (cells > MAX_CELLS)
    throw new VarveError(
      'limit-exceeded',
      `the sheet ${chosen.sheet} has over ${MAX_CELLS.toLocaleString('en')} cells`,
    );
  const rows = workbookRows(chosen.data);
  const others = sheets.filter((sheet) => sheet !== chosen && sheet.data.length > 0).map(({ sheet }) => sheet);
  const table = {
    format: 'xlsx',
    sample: rows.slice(0, SAMPLE_ROWS),
    delimiter: null,
    rows: async function* () {
      yield rows;
    },
    facts: { sheet: chosen.sheet },
    notes:
      others.length > 0
        ? [`the sheet ${chosen.sheet} was read; --sheet names another: ${others.slice(0, 10).join(', ')}`]
        : [],
  };
  const recording = await readRowsRecording(table, tableOptions(name, options));
  return { recording, source, close: async () => {} };
};

interface WorkbookSheet {
  readonly sheet: string;
  readonly data: readonly (readonly WorkbookCell[])[];
}

async function sheetsOf(file: string): Promise<readonly WorkbookSheet[]> {
  // It is loaded where it is needed: who imports no workbook need not wait for it.
  const { default: readWorkbook } = await import('read-excel-file/node');
  try {
    const sheets = await readWorkbook<string>(file, { parseNumber: (digits) => digits });
    return sheets as unknown as readonly WorkbookSheet[];
  } catch (error) {
    if (isVarveError(error)) throw error;
    throw invalidField('body', `is no workbook that can be read: ${messageOf(error).slice(0, 200)}`);
  }
}

function chooseSheet(sheets: readonly WorkbookSheet[], told: string | undefined): WorkbookSheet {
  const named = sheets.find(({ sheet }) => sheet === told);
  const numbered = told !== undefined && /^\d+$/.test(told) ? sheets[Number(told) - 1] : undefined;
  const found = told === undefined ? sheets.find(({ data }) => data.length > 0) : (named ?? numbered);
  if (found) return found;
  const names = sheets
    .slice(0, 20)
    .map(({ sheet }) => sheet)
    .join(', ');
  throw invalidField(
    'sheet',
    told === undefined ? 'the workbook has no cells' : `the workbook has no sheet ${told}; it has ${names}`,
  );
}

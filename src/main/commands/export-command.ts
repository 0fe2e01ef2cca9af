/** `varve export`: a file of series in a format of the lab, made by the service and fetched when it is done. */
import { existsSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { invalidField, VarveError } from '../../core/errors.ts';
import { isUuid } from '../../http/wire/scalars.ts';
import { connect } from '../client/connect.ts';
import type { ExportAnswer } from '../client/client.ts';
import type { Config } from '../process/config.ts';
import { writeOut } from '../process/standard-output.ts';
import { Progress } from './progress.ts';
import { saveFile } from './save-file.ts';

export interface ExportCommand {
  readonly format: string;
  readonly project: string;
  readonly where?: string;
  readonly start?: string;
  readonly end?: string;
  readonly physical?: boolean;
  readonly out?: string;
  readonly force?: boolean;
}

const LOOK_EVERY_MS = 200;

/** @param names ids, or names in the project; none: those that `where` finds */
export async function exportSeries(config: Config, names: readonly string[], command: ExportCommand): Promise<void> {
  const { format, project, where, start, end, physical, out, force } = command;
  if (names.length === 0 && where === undefined) throw invalidField('series', 'name some, or say --where');
  if (out !== undefined && existsSync(out) && !force) {
    throw new VarveError('conflict', `${out} is there already: choose another --out, or add --force`);
  }
  const client = connect(config);
  const series: string[] = [];
  for (const name of names) series.push(isUuid(name) ? name : (await client.getSeries({ project, name })).id);
  let made = await client.createExport({
    format,
    ...(series.length > 0 && { series }),
    ...(where !== undefined && { where: parseWhere(where) }),
    ...(start !== undefined && { start }),
    ...(end !== undefined && { end }),
    ...(physical && { physical }),
    ...nameIn(out),
  });
  const progress = new Progress(`making ${format}`, null, 'bytes');
  try {
    for (let seen = 0; made.state === 'waiting' || made.state === 'running'; seen = made.bytes) {
      progress.add(made.bytes - seen);
      await sleep(LOOK_EVERY_MS);
      made = await client.getExport(made.id);
    }
  } finally {
    progress.stop();
  }
  await fetchFile(client, made, out);
}

/** What stands in the file is named as the file is, where that is a name. */
function nameIn(out: string | undefined): { name?: string } {
  const name = basename(out ?? '', extname(out ?? ''));
  return /^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$/.test(name) ? { name } : {};
}

async function fetchFile(
  client: ReturnType<typeof connect>,
  { id, file, error, notes }: ExportAnswer,
  out: string | undefined,
): Promise<void> {
  if (!file) throw new VarveError('unprocessable', error?.message ?? 'the export was given up');
  const path = out ?? file.name;
  await saveFile(await client.fetchExport(id), path);
  for (const note of notes) process.stderr.write(`varve: ${note}\n`);
  await client.deleteExport(id);
  await writeOut(`${path}\n`);
}

function parseWhere(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidField('--where', 'is no JSON; an expression is like {"tag": "species", "eq": "mouse"}');
  }
}

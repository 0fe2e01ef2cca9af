/** `varve rm` and `varve undelete`: series go, and come back. */
import { RESTORE_DAYS } from '../../core/upkeep/retention.ts';
import type { Config } from '../process/config.ts';
import { connect } from '../client/connect.ts';
import { seriesRef } from '../client/series-ref.ts';
import { writeOut } from '../process/standard-output.ts';

export interface DeleteCommand {
  readonly project: string;
}

/** @param names ids, or names in the project; one after the other, up to the first that there is not */
export async function deleteNamedSeries(
  config: Config,
  names: readonly string[],
  { project }: DeleteCommand,
): Promise<void> {
  const client = connect(config);
  for (const text of names) {
    const { id, name } = await client.getSeries(seriesRef(text, project));
    await client.deleteSeries(id);
    await writeOut(`deleted ${name}; for ${RESTORE_DAYS} days it comes back with: varve undelete ${id}\n`);
  }
}

/** @param names ids, or the names that the series had in the project */
export async function undeleteNamedSeries(
  config: Config,
  names: readonly string[],
  { project }: DeleteCommand,
): Promise<void> {
  const client = connect(config);
  for (const text of names) {
    const { name, rows } = await client.restoreSeries(seriesRef(text, project));
    await writeOut(`${name} is there again, with ${rows.toLocaleString('en')} ${rows === 1 ? 'row' : 'rows'}\n`);
  }
}

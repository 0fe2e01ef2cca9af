/** `varve tag`: shows, sets and removes the tags of a series. */
import { invalidField } from '../../core/errors.ts';
import type { TagValue } from '../../core/signal/series.ts';
import { tagText } from '../../core/signal/tag-value.ts';
import type { Config } from '../process/config.ts';
import { connect } from '../client/connect.ts';
import { seriesRef } from '../client/series-ref.ts';
import { writeOut } from '../process/standard-output.ts';
import { parseTag } from './tag-arguments.ts';

export interface TagCommand {
  readonly project: string;
  readonly remove?: readonly string[];
  readonly json?: boolean;
}

/**
 * @param series id, or name in the project
 * @param changes `key=value` sets a tag, `-key` removes one; none: only show them
 * @throws invalid-input
 */
export async function tagSeries(
  config: Config,
  series: string,
  changes: readonly string[],
  { project, remove = [], json }: TagCommand,
): Promise<void> {
  const tags: Record<string, TagValue | null> = Object.fromEntries(remove.map((key) => [key, null]));
  for (const change of changes) {
    const [key, value] = changeOf(change);
    if (Object.hasOwn(tags, key)) throw invalidField('tag', `${key} is named twice`);
    tags[key] = value;
  }
  const client = connect(config);
  const current = await client.getSeries(seriesRef(series, project));
  const missing = Object.keys(tags).find((key) => tags[key] === null && !Object.hasOwn(current.tags, key));
  if (missing !== undefined) throw invalidField('tag', `${current.name} has no tag ${missing}`);
  const { tags: now } = Object.keys(tags).length === 0 ? current : await client.editTags(current.id, tags);
  if (json) return writeOut(`${JSON.stringify(now)}\n`);
  for (const [key, value] of Object.entries(now)) await writeOut(`${key}=${tagText(value)}\n`);
  return undefined;
}

function changeOf(text: string): [key: string, value: TagValue | null] {
  if (text.startsWith('--')) throw invalidField(text, 'is no option of `varve tag`');
  return text.startsWith('-') && text.length > 1 ? [text.slice(1), null] : parseTag(text);
}
